// SPDX-License-Identifier: Apache-2.0
#include "cli/eval_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace convmixer::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kTextPairs = 20;
// Classes that the text shows; of more the least accurate half of it. The JSON and the page have
// all.
constexpr std::size_t kTextClasses = 40, kTextWorst = 20;

std::string class_table(const EvalReport& r) {
  const std::vector<Confusion> taken = most_taken_for(r.tally);
  std::vector<int> shown = worst_first(r.tally);
  const std::size_t all = shown.size();
  std::string text =
      fmt::format("\n{}  images   top-1  most often taken for\n", padded("class", 30));
  if (all > kTextClasses) {
    shown.resize(kTextWorst);
  } else {
    std::sort(shown.begin(), shown.end());
  }
  for (const int i : shown) {
    const Tally::Class& c = r.tally.classes()[static_cast<std::size_t>(i)];
    const Confusion& most = taken[static_cast<std::size_t>(i)];
    text += fmt::format("{}  {:>6}  {:>5.1f} %", padded(r.names.name(i), 30), c.images,
                        100 * share(c.right, c.images));
    if (most.images > 0)
      text += fmt::format("  {} ({})", r.names.name(most.predicted), most.images);
    text += "\n";
  }
  if (shown.size() < all) {
    text += fmt::format("… the {} least accurate of {} classes; --json and --report have all\n",
                        shown.size(), all);
  }
  return text;
}

std::string confused_pairs(const EvalReport& r) {
  std::string text;
  for (const Confusion& c : most_confused(r.tally, 10)) {
    text += fmt::format(
        "{}{:>6}  {} taken for {} ({:.1f} % of them)\n", text.empty() ? "\nmost confused\n" : "",
        c.images, r.names.name(c.label), r.names.name(c.predicted),
        100 * share(c.images, r.tally.classes()[static_cast<std::size_t>(c.label)].images));
  }
  return text;
}

Json classes_json(const EvalReport& r) {
  Json classes = Json::array();
  for (int i = 0; i < r.names.count(); ++i) {
    const Tally::Class& c = r.tally.classes()[static_cast<std::size_t>(i)];
    Json entry;
    entry["index"] = i;
    entry["label"] = label_json(r.names, i);
    entry["images"] = c.images;
    entry["correct"] = c.right;
    entry["accuracy"] = c.images == 0 ? Json() : Json(share(c.right, c.images));
    classes.push_back(entry);
  }
  return classes;
}

Json confused_json(const EvalReport& r) {
  Json pairs = Json::array();
  for (const Confusion& c : most_confused(r.tally, kTextPairs)) {
    Json entry;
    entry["class"] = c.label;
    entry["label"] = label_json(r.names, c.label);
    entry["taken_for"] = c.predicted;
    entry["taken_for_label"] = label_json(r.names, c.predicted);
    entry["images"] = c.images;
    pairs.push_back(entry);
  }
  return pairs;
}

}  // namespace

const char* name_of(LabelSource source) {
  switch (source) {
    case LabelSource::kList:
      return "list";
    case LabelSource::kWordNetIds:
      return "wordnet_ids";
    case LabelSource::kLabels:
      return "labels";
    case LabelSource::kSortedOrder:
      return "sorted_order";
    case LabelSource::kNone:
      break;
  }
  return "none";
}

const char* explain(LabelSource source) {
  switch (source) {
    case LabelSource::kList:
      return "classes by the list";
    case LabelSource::kWordNetIds:
      return "folders matched by WordNet id";
    case LabelSource::kLabels:
      return "folders matched by label";
    case LabelSource::kSortedOrder:
      return "folders taken for classes in sorted order";
    case LabelSource::kNone:
      break;
  }
  return "without classes";
}

std::vector<Confusion> most_taken_for(const Tally& tally) {
  std::vector<Confusion> most(tally.classes().size(), Confusion{0, -1, 0});
  for (const auto& [pair, images] : tally.confusions()) {
    Confusion& best = most[static_cast<std::size_t>(pair.first)];
    if (pair.first != pair.second && images > best.images) best = {pair.first, pair.second, images};
  }
  return most;
}

std::vector<int> worst_first(const Tally& tally) {
  const std::vector<Tally::Class>& classes = tally.classes();
  std::vector<int> order;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    if (classes[i].images > 0) order.push_back(static_cast<int>(i));
  }
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    const Tally::Class &x = classes[static_cast<std::size_t>(a)],
                       &y = classes[static_cast<std::size_t>(b)];
    return share(x.right, x.images) < share(y.right, y.images);
  });
  return order;
}

std::string eval_text(const EvalReport& r) {
  std::string text = report_line("model", r.model);
  text += report_line("images", fmt::format("{} of {}, {}", r.tally.images(), r.images,
                                            explain(r.dataset.source())));
  if (r.tally.failed() > 0) text += report_line("failed", fmt::format("{} more", r.tally.failed()));
  for (std::size_t i = 0; i < r.tally.tops().size(); ++i) {
    text += report_line(fmt::format("top-{}", r.tally.tops()[i]),
                        fmt::format("{:.2f} %, {}", 100 * r.tally.accuracy(i), r.tally.in_top(i)));
  }
  text += report_line("loss", fmt::format("{:.6f}", r.tally.mean_loss()));
  if (r.ran > 0) {
    text += report_line("images/s",
                        fmt::format("{:.1f}, {} threads{}", r.images_per_second(), r.threads,
                                    r.ranks > 1 ? fmt::format(" of {} processes", r.ranks) : ""));
  }
  if (r.earlier > 0) text += report_line("continued", fmt::format("after {} images", r.earlier));
  return text + class_table(r) + confused_pairs(r);
}

std::string eval_json(const EvalReport& r) {
  Json report;
  report["model"] = r.model;
  report["images_from"] = r.images;
  report["classes_by"] = name_of(r.dataset.source());
  report["images"] = r.tally.images();
  report["failed"] = r.tally.failed();
  for (std::size_t i = 0; i < r.tally.tops().size(); ++i) {
    const std::string name = fmt::format("top{}", r.tally.tops()[i]);
    report[name] = r.tally.accuracy(i);
    report[name + "_correct"] = r.tally.in_top(i);
  }
  report["loss"] = number_json(r.tally.mean_loss());
  report["images_per_second"] = r.ran == 0 ? Json() : Json(r.images_per_second());
  report["seconds"] = r.seconds;
  report["continued_after"] = r.earlier;
  report["ranks"] = r.ranks;
  report["threads"] = r.threads;
  report["batch"] = r.session.chunk_size;
  report["precision"] = r.precision;
  report["isa"] = r.info.isa;
  report["strassen_levels"] = r.info.strassen_levels;
  report["image_size"] = {r.info.image_height, r.info.image_width};
  report["version"] = convmixer_version();
  report["classes"] = classes_json(r);
  report["confused"] = confused_json(r);
  report["failures"] = failures_json(r.failures);
  return json_line(report);
}

}  // namespace convmixer::cli
