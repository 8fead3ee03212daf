// SPDX-License-Identifier: Apache-2.0
// The page of an evaluation: one file without scripts, that loads nothing.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "cli/eval_report.h"
#include "cli/handles.h"
#include "cli/png_writer.h"

namespace convmixer::cli {
namespace {

// A matrix of more classes than this cannot be read: it is then of those that are confused most.
constexpr std::size_t kMatrixClasses = 30, kConfusedClasses = 20;
constexpr std::size_t kPagePairs = 15;
constexpr int kPictureSide = 224;  // pixels, the longer side, at most

constexpr std::string_view kStyle = R"(
:root { color-scheme: light; --ink: #1c2430; --soft: #5c6775; --line: #dfe3e8; --back: #f6f7f9; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 24px 20px 64px; color: var(--ink);
  background: var(--back); font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 24px; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 36px 0 8px; }
p { margin: 0 0 12px; color: var(--soft); overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 12px;
  margin-top: 20px; }
.tile { background: #fff; border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px; }
.tile b { display: block; font-size: 24px; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.scroll { overflow-x: auto; background: #fff; border: 1px solid var(--line); border-radius: 8px;
  padding: 12px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; }
.list { width: 100%; }
.list th, .list td { padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
.list tr:last-child td { border-bottom: 0; }
.list .n { text-align: right; white-space: nowrap; }
.bar { display: inline-block; width: 90px; height: 8px; margin-right: 8px; border-radius: 4px;
  background: var(--line); overflow: hidden; }
.bar i { display: block; height: 8px; background: #2f6fb0; }
.matrix { margin: 0 auto; }
.matrix th { font-size: 13px; font-weight: 500; white-space: nowrap; }
.matrix thead th { vertical-align: bottom; padding: 0 0 6px; }
.matrix thead th div { writing-mode: vertical-rl; transform: rotate(180deg); margin: 0 auto;
  max-height: 150px; overflow: hidden; text-overflow: ellipsis; }
.matrix tbody th { text-align: right; padding: 0 8px 0 0; position: sticky; left: -12px;
  background: #fff; max-width: 170px; overflow: hidden; text-overflow: ellipsis; }
.matrix td { min-width: 40px; height: 32px; padding: 0 3px; text-align: center; font-size: 13px;
  border: 1px solid #eceff2; }
.mistakes { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 12px; }
figure { margin: 0; background: #fff; border: 1px solid var(--line); border-radius: 8px;
  padding: 10px; font-size: 13px; line-height: 1.4; overflow-wrap: anywhere; }
figure img, .none { display: block; width: 100%; aspect-ratio: 1; object-fit: contain;
  background: #eceff2; border-radius: 4px; margin-bottom: 8px; }
.small { image-rendering: pixelated; }
.none { padding-top: 40%; text-align: center; color: var(--soft); }
figcaption span { color: var(--soft); }
@media (max-width: 600px) {
  body { padding: 16px 12px 40px; }
  .bar { display: none; }
  .tile b { font-size: 20px; }
  .tiles, .mistakes { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .list th, .list td { padding-right: 8px; font-size: 13px; overflow-wrap: anywhere; }
  .scroll { padding: 10px; }
  .matrix th, .matrix td { font-size: 11px; }
  .matrix td { min-width: 26px; height: 26px; padding: 0 1px; }
  .matrix tbody th { max-width: 76px; padding-right: 5px; left: -10px; }
}
)";

// Text that a browser shows as it is: bytes that are no UTF-8 replaced, marks and controls escaped.
std::string escaped(const std::string& text) {
  using Json = nlohmann::json;
  const std::string valid =
      Json::parse(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace));
  std::string html;
  for (const char c : valid) {
    switch (c) {
      case '&':
        html += "&amp;";
        break;
      case '<':
        html += "&lt;";
        break;
      case '>':
        html += "&gt;";
        break;
      case '"':
        html += "&quot;";
        break;
      case '\'':
        html += "&#39;";
        break;
      default:
        html += static_cast<unsigned char>(c) < ' ' || c == '\x7f' ? ' ' : c;
    }
  }
  return html;
}

// Of a path: a model may be a folder, with a slash at its end.
std::string last_part(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path.substr(path.rfind('/') + 1);
}

std::string name_html(const EvalReport& r, int index) { return escaped(r.names.name(index)); }

std::string base64(const std::vector<std::uint8_t>& bytes) {
  constexpr const char* kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t three = 0;
    for (std::size_t k = 0; k < 3; ++k) three = three << 8 | (k < n ? bytes[i + k] : 0u);
    for (std::size_t k = 0; k < 4; ++k) {
      text += k <= n ? kDigits[three >> (18 - 6 * k) & 63] : '=';
    }
  }
  return text;
}

const Tally::Class& class_of(const EvalReport& r, int index) {
  return r.tally.classes()[static_cast<std::size_t>(index)];
}

double percent(std::uint64_t part, std::uint64_t of) {
  return of == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(of);
}

std::string tile(const std::string& value, const std::string& name) {
  return fmt::format("<div class=\"tile\"><b>{}</b><span>{}</span></div>\n", value, name);
}

std::string summary(const EvalReport& r) {
  const convmixer_model_info& m = r.info;
  std::string html =
      fmt::format("<h1>{}</h1>\n<p>ConvMixer-{}/{}, {} classes, {}×{} pixels; {}, {}; on {}</p>\n",
                  escaped(last_part(r.model)), m.dim, m.depth, m.num_classes, m.image_height,
                  m.image_width, escaped(r.precision), m.isa, escaped(r.images));
  html += "<div class=\"tiles\">\n";
  for (std::size_t i = 0; i < r.tally.tops().size(); ++i) {
    html += tile(fmt::format("{:.2f} %", 100 * r.tally.accuracy(i)),
                 fmt::format("top-{}, {} images", r.tally.tops()[i], r.tally.in_top(i)));
  }
  html += tile(fmt::format("{:.5f}", r.tally.mean_loss()), "loss");
  html += tile(fmt::format("{}", r.tally.images()), "images");
  if (r.tally.failed() > 0) html += tile(fmt::format("{}", r.tally.failed()), "failed");
  if (r.ran > 0) {
    html += tile(fmt::format("{:.0f}", r.images_per_second()),
                 fmt::format("images/s, {} threads", r.threads));
  }
  return html + "</div>\n";
}

// The classes of the matrix, by index.
std::vector<int> matrix_classes(const EvalReport& r) {
  std::set<int> classes;
  const auto count = static_cast<std::size_t>(r.names.count());
  if (count <= kMatrixClasses) {
    for (int i = 0; i < r.names.count(); ++i) classes.insert(i);
  } else {
    for (const Confusion& c : most_confused(r.tally, kConfusedClasses)) {
      if (classes.size() + 2 > kConfusedClasses) break;
      classes.insert({c.label, c.predicted});
    }
  }
  return {classes.begin(), classes.end()};
}

// Right ones blue, mistakes red, the stronger the larger their share of the row: square roots,
// since most mistakes are a few percent.
std::string matrix_cell(const EvalReport& r, int label, int predicted, std::uint64_t images) {
  if (images == 0) return "<td></td>";
  const double share = percent(images, class_of(r, label).images) / 100;
  return fmt::format(
      "<td style=\"background:rgba({},{:.3f})\" title=\"{} taken for {}: {} of {}\">"
      "{}</td>",
      label == predicted ? "47,111,176" : "214,69,65",
      label == predicted ? 0.55 * share : 0.85 * std::sqrt(share), name_html(r, label),
      predicted < 0 ? "another class" : name_html(r, predicted), images, class_of(r, label).images,
      images);
}

std::string matrix(const EvalReport& r) {
  const std::vector<int> classes = matrix_classes(r);
  if (classes.empty()) return "";
  const bool whole = classes.size() == static_cast<std::size_t>(r.names.count());
  std::string html = fmt::format(
      "<h2>Confusion matrix</h2>\n<p>Rows are the true classes, columns what the model "
      "says{}.</p>\n"
      "<div class=\"scroll\"><table class=\"matrix\">\n<thead><tr><th></th>",
      whole ? "" : fmt::format("; the {} classes that are confused most", classes.size()));
  for (const int c : classes) html += fmt::format("<th><div>{}</div></th>", name_html(r, c));
  html += whole ? "</tr></thead>\n<tbody>\n" : "<th><div>others</div></th></tr></thead>\n<tbody>\n";
  for (const int label : classes) {
    if (class_of(r, label).images == 0) continue;
    html += fmt::format("<tr><th title=\"{0}\">{0}</th>", name_html(r, label));
    std::uint64_t others = class_of(r, label).images;
    for (const int predicted : classes) {
      const auto found = r.tally.confusions().find({label, predicted});
      const std::uint64_t images = found == r.tally.confusions().end() ? 0 : found->second;
      others -= images;
      html += matrix_cell(r, label, predicted, images);
    }
    if (!whole) html += matrix_cell(r, label, -1, others);
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string pairs(const EvalReport& r) {
  const std::vector<Confusion> most = most_confused(r.tally, kPagePairs);
  if (most.empty()) return "";
  std::string html =
      "<h2>Most confused</h2>\n<div class=\"scroll\"><table class=\"list pairs\">\n"
      "<thead><tr><th>Class</th><th>taken for</th><th class=\"n\">images</th>"
      "<th class=\"n\">share</th></tr></thead>\n<tbody>\n";
  for (const Confusion& c : most) {
    html += fmt::format(
        "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{:.1f} %</td></tr>\n",
        name_html(r, c.label), name_html(r, c.predicted), c.images,
        percent(c.images, class_of(r, c.label).images));
  }
  return html + "</tbody></table></div>\n";
}

// The crop that the model sees, made no larger than it is shown.
std::string picture(const EvalReport& r, std::size_t index) {
  const int height = r.info.image_height, width = r.info.image_width;
  const double scale = std::min(1.0, double{kPictureSide} / std::max(height, width));
  convmixer_image_options options = r.decode;
  options.image_height = std::max(1, static_cast<int>(std::lround(height * scale)));
  options.image_width = std::max(1, static_cast<int>(std::lround(width * scale)));
  options.crop_pct = r.info.crop_pct;
  options.interpolation = r.info.interpolation;
  const std::string path = r.dataset.path(index);
  convmixer_image image{};
  image.path = path.c_str();
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(options.image_height) *
                                   static_cast<std::size_t>(options.image_width) * 3);
  if (convmixer_transform(&image, &options, pixels.data(), pixels.size()) != CONVMIXER_OK) {
    return "<div class=\"none\">no longer readable</div>";
  }
  return fmt::format("<img{} alt=\"\" src=\"data:image/png;base64,{}\">",
                     std::max(height, width) < 100 ? " class=\"small\"" : "",
                     base64(encode_png(pixels, options.image_width, options.image_height)));
}

std::string mistakes(const EvalReport& r) {
  if (r.tally.mistakes().empty()) return "";
  std::string html =
      "<h2>Worst mistakes</h2>\n<p>Wrong images of the greatest loss, as the model sees them.</p>\n"
      "<div class=\"mistakes\">\n";
  for (const Tally::Mistake& m : r.tally.mistakes()) {
    const auto index = static_cast<std::size_t>(m.index);
    html += fmt::format(
        "<figure>{}<figcaption><b>{}</b> taken for <b>{}</b> ({:.1f}&nbsp;%)<br>"
        "<span>loss {:.2f}, true class at place {}<br>{}</span></figcaption></figure>\n",
        picture(r, index), name_html(r, m.outcome.label), name_html(r, m.outcome.predicted),
        100 * m.outcome.probability, m.outcome.loss, m.outcome.rank,
        escaped(std::string(r.dataset.name(index))));
  }
  return html + "</div>\n";
}

std::string class_rows(const EvalReport& r) {
  const std::vector<Confusion> taken = most_taken_for(r.tally);
  std::string html =
      "<h2>Classes</h2>\n<p>The least accurate first; classes without images are left out.</p>\n"
      "<div class=\"scroll\"><table class=\"list classes\">\n"
      "<thead><tr><th>Class</th><th class=\"n\">images</th><th class=\"n\">top-1</th>"
      "<th>most often taken for</th></tr></thead>\n<tbody>\n";
  for (const int i : worst_first(r.tally)) {
    const Tally::Class& c = class_of(r, i);
    const double right = percent(c.right, c.images);
    const Confusion& most = taken[static_cast<std::size_t>(i)];
    html += fmt::format(
        "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\"><span class=\"bar\">"
        "<i style=\"width:{:.1f}%\"></i></span>{:.1f} %</td><td>{}</td></tr>\n",
        name_html(r, i), c.images, right, right,
        most.images == 0 ? "" : fmt::format("{} ({})", name_html(r, most.predicted), most.images));
  }
  return html + "</tbody></table></div>\n";
}

std::string failures(const EvalReport& r) {
  if (r.failures.empty()) return "";
  std::string html = fmt::format(
      "<h2>Failed</h2>\n<p>Images that could not be read and are not counted above{}.</p>\n"
      "<div class=\"scroll\"><table class=\"list failed\">\n<tbody>\n",
      r.failures.size() < r.tally.failed() ? fmt::format(": the first {}", r.failures.size()) : "");
  for (const FailedImage& f : r.failures) {
    html += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", escaped(f.name), escaped(f.error));
  }
  return html + "</tbody></table></div>\n";
}

}  // namespace

std::string eval_html(const EvalReport& r) {
  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{} on {}</title>\n<style>{}</style>\n</head>\n<body>\n",
      escaped(last_part(r.model)), escaped(r.images), kStyle);
  html += summary(r) + matrix(r) + pairs(r) + mistakes(r) + class_rows(r) + failures(r);
  return html + fmt::format("<p style=\"margin-top:36px\">convmixer {}</p>\n</body>\n</html>\n",
                            convmixer_version());
}

}  // namespace convmixer::cli
