// SPDX-License-Identifier: Apache-2.0
#include "cli/compare_report.h"

#include <fmt/format.h>

#include "cli/eval_report.h"
#include "cli/model_options.h"

namespace convmixer::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kSides[2] = {"first", "second"};

double images_per_second(const CompareReport& r) {
  const std::uint64_t ran = r.comparison.images() + r.comparison.failed();
  return r.seconds > 0 ? static_cast<double>(ran) / r.seconds : 0;
}

double top1(const CompareReport& r, std::size_t side) {
  return share(r.comparison.right(side), r.comparison.images());
}

// The largest change as a share of the first network's largest |logit|.
double relative_change(const Comparison& c) {
  return c.largest_change() > 0 ? c.largest_change() / c.largest_logit() : 0;
}

std::string top1_text(const CompareReport& r) {
  const Comparison& c = r.comparison;
  return fmt::format("{:.2f} % → {:.2f} %, {} → {} ({:+.2f} points: {} mended, {} spoiled)",
                     100 * top1(r, 0), 100 * top1(r, 1), c.right(0), c.right(1),
                     100 * (top1(r, 1) - top1(r, 0)), c.only_right(1), c.only_right(0));
}

std::string outcome_text(const CompareReport& r, const Outcome& o) {
  return fmt::format("{} {:.1f} %", r.names.name(o.predicted),
                     100 * static_cast<double>(o.probability));
}

std::string worst_text(const CompareReport& r) {
  std::string text;
  for (const Pair& pair : r.comparison.worst()) {
    const Outcome &a = pair.outcomes[0], &b = pair.outcomes[1];
    text += fmt::format(
        "{}{:>10.4g}  {}: {}{} → {}{}\n", text.empty() ? "\nlargest changes\n" : "", pair.change,
        r.dataset.name(pair.index), a.label < 0 ? "" : r.names.name(a.label) + ", taken for ",
        outcome_text(r, a), outcome_text(r, b), a.predicted == b.predicted ? "" : "  CHANGED");
  }
  return text;
}

Json network_json(const CompareReport& r, std::size_t side) {
  const ComparedNetwork& network = r.networks[side];
  Json json;
  json["model"] = network.model;
  json["precision"] = precision_name(network.info.precision);
  json["isa"] = network.info.isa;
  json["strassen_levels"] = network.info.strassen_levels;
  json["image_size"] = {network.info.image_height, network.info.image_width};
  json["weight_bytes"] = network.info.weight_bytes;
  json["top1"] = r.has_labels() ? Json(top1(r, side)) : Json();
  json["top1_correct"] = r.has_labels() ? Json(r.comparison.right(side)) : Json();
  json["only_correct"] = r.has_labels() ? Json(r.comparison.only_right(side)) : Json();
  return json;
}

Json worst_json(const CompareReport& r) {
  Json worst = Json::array();
  for (const Pair& pair : r.comparison.worst()) {
    Json entry;
    entry["file"] = r.dataset.name(pair.index);
    entry["change"] = number_json(pair.change);
    const int label = pair.outcomes[0].label;
    entry["class"] = label < 0 ? Json() : Json(label);
    entry["label"] = label < 0 ? Json() : label_json(r.names, label);
    for (std::size_t side = 0; side < 2; ++side) {
      const Outcome& o = pair.outcomes[side];
      entry[kSides[side]] = {{"index", o.predicted},
                             {"label", label_json(r.names, o.predicted)},
                             {"probability", number_json(static_cast<double>(o.probability))}};
    }
    worst.push_back(entry);
  }
  return worst;
}

}  // namespace

std::string compare_text(const CompareReport& r) {
  const Comparison& c = r.comparison;
  std::string text;
  for (std::size_t side = 0; side < 2; ++side) {
    const ComparedNetwork& n = r.networks[side];
    text += report_line(kSides[side], fmt::format("{}, {}, {}", n.model,
                                                  precision_name(n.info.precision), n.info.isa));
  }
  text += report_line(
      "images", fmt::format("{} of {}, {}", c.images(), r.images, explain(r.dataset.source())));
  if (!r.has_labels()) text += report_line("", fmt::format("({})", r.why_unlabelled));
  if (c.failed() > 0) text += report_line("failed", fmt::format("{} more", c.failed()));
  text += report_line(
      "equal", fmt::format("{:.2f} % of the predictions, {}; {} changed",
                           100 * share(c.equal(), c.images()), c.equal(), c.images() - c.equal()));
  if (r.has_labels()) text += report_line("top-1", top1_text(r));
  text += report_line(
      "logits", fmt::format("change by at most {:.4g}, {:.2f} % of the largest |logit| ({:.4g}); "
                            "root mean square {:.4g}",
                            c.largest_change(), 100 * relative_change(c), c.largest_logit(),
                            c.root_mean_square()));
  text += report_line("images/s", fmt::format("{:.1f} in both together, {} threads",
                                              images_per_second(r), r.session.threads));
  return text + worst_text(r);
}

std::string compare_json(const CompareReport& r) {
  const Comparison& c = r.comparison;
  Json report;
  for (std::size_t side = 0; side < 2; ++side) report[kSides[side]] = network_json(r, side);
  report["images_from"] = r.images;
  report["classes_by"] = name_of(r.dataset.source());
  report["why_no_classes"] = r.has_labels() ? Json() : Json(r.why_unlabelled);
  report["images"] = c.images();
  report["failed"] = c.failed();
  report["equal"] = c.equal();
  report["changed"] = c.images() - c.equal();
  report["agreement"] = share(c.equal(), c.images());
  report["top1_change"] = r.has_labels() ? Json(top1(r, 1) - top1(r, 0)) : Json();
  report["largest_change"] = number_json(c.largest_change());
  report["largest_logit"] = number_json(c.largest_logit());
  report["relative_change"] = number_json(relative_change(c));
  report["root_mean_square"] = number_json(c.root_mean_square());
  report["images_per_second"] = images_per_second(r);
  report["seconds"] = r.seconds;
  report["threads"] = r.session.threads;
  report["batch"] = r.session.chunk_size;
  report["version"] = convmixer_version();
  report["worst"] = worst_json(r);
  report["failures"] = failures_json(r.failures);
  return json_line(report);
}

}  // namespace convmixer::cli
