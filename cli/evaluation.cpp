// SPDX-License-Identifier: Apache-2.0
#include "cli/evaluation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "cli/clock.h"
#include "cli/handles.h"
#include "cli/image_slices.h"
#include "cli/report_parts.h"

namespace convmixer::cli {
namespace {

// The accuracy so far, for the bar.
std::string accuracy_text(const Tally& tally) {
  std::string text;
  for (std::size_t i = 0; i < tally.tops().size() && tally.images() > 0; ++i) {
    text += fmt::format("  top-{} {:.2f} %", tally.tops()[i], 100 * tally.accuracy(i));
  }
  return text;
}

std::string bytes_of(const std::vector<std::uint64_t>& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(std::uint64_t)};
}

std::vector<std::uint64_t> numbers_of(const std::string& bytes) {
  std::vector<std::uint64_t> numbers(bytes.size() / sizeof(std::uint64_t));
  if (numbers.empty()) return numbers;  // memcpy refuses null pointers, of nothing too
  std::memcpy(numbers.data(), bytes.data(), numbers.size() * sizeof(std::uint64_t));
  return numbers;
}

}  // namespace

Evaluation::Evaluation(const EvalOptions& o, convmixer_session* session, Ranks& ranks,
                       EvalReport& report, PredictionsFile* predictions)
    : o_(o),
      session_(session),
      ranks_(ranks),
      report_(report),
      predictions_(predictions),
      scorer_(report.names.count()),
      rates_(static_cast<std::size_t>(ranks.size()), 1.0) {}

void Evaluation::take(std::uint64_t index, const Prediction& p) {
  if (p.ok()) {
    report_.tally.add(index, p.outcome);
    return;
  }
  report_.tally.add_failed();
  if (report_.failures.size() < kMostFailures) {
    report_.failures.push_back({std::string(p.name), p.status, p.error});
  }
  if (bar_) bar_->clear();
  fmt::print(stderr, "convmixer: {}\n", p.error);
}

void Evaluation::resume() {
  const Dataset& dataset = report_.dataset;
  predictions_->read_rows([&](std::uint64_t row, const Prediction& p) {
    const int classes = report_.names.count();
    if (row >= dataset.size() || p.name != dataset.name(row) ||
        p.outcome.label != dataset.label(row) || p.outcome.predicted >= classes ||
        p.outcome.rank > classes || (p.ok() && p.outcome.rank < 1)) {
      throw Failure(kFailed, fmt::format("{}: cannot be continued: row {} is not about image {} of "
                                         "the list",
                                         o_.predictions, row + 1, row + 1));
    }
    if (o_.strict && !p.ok()) throw Failure(kFailed, p.error);
    take(row, p);
    ++report_.earlier;
  });
}

std::size_t Evaluation::most_images() const {
  return cli::most_images(report_.session, report_.names.count());
}

void Evaluation::run() {
  if (!ranks_.leads()) {
    follow();
    ranks_.finish();
    return;
  }
  const Clock::time_point begin = Clock::now();
  const std::size_t images = report_.dataset.size();
  bar_.emplace(images, report_.earlier);
  lead();
  bar_->clear();
  bar_.reset();
  report_.ran = images - report_.earlier;
  report_.seconds = seconds_since(begin);
  ranks_.broadcast({});
  ranks_.finish();
}

void Evaluation::lead() {
  const std::size_t most = most_images();
  std::size_t share = chunk();
  for (std::uint64_t done = report_.earlier; done < report_.dataset.size();) {
    bar_->show(done, accuracy_text(report_.tally));
    const Clock::time_point begin = Clock::now();
    const std::vector<std::uint64_t> bounds = share_out(done, report_.dataset.size(), share);
    ranks_.broadcast(bytes_of(bounds));
    EvalPart mine = run_part(bounds[0], bounds[1]);
    const std::vector<std::string> sent = ranks_.gather({});
    std::vector<double> seconds;
    for (std::size_t rank = 0; rank < sent.size(); ++rank) {
      EvalPart part = rank == 0 ? std::move(mine) : unpack(sent[rank]);
      seconds.push_back(part.seconds);
      take_part(bounds[rank], bounds[rank + 1], std::move(part));
    }
    learn_rates(bounds, seconds);
    done = bounds.back();
    if (seconds_since(begin) < kSliceSeconds) share = std::min(most, 2 * share);
  }
}

void Evaluation::follow() {
  for (;;) {
    const std::vector<std::uint64_t> bounds = numbers_of(ranks_.broadcast({}));
    if (bounds.empty()) return;
    const auto rank = static_cast<std::size_t>(ranks_.rank());
    ranks_.gather(pack(run_part(bounds[rank], bounds[rank + 1])));
  }
}

// The bounds of each rank's images, in the order of ranks, `share` images on average and in
// proportion to how fast each was, so that they end together. Whole chunks but for the last.
std::vector<std::uint64_t> Evaluation::share_out(std::uint64_t first, std::uint64_t last,
                                                 std::size_t share) const {
  double all = 0, fastest = 0;
  for (const double rate : rates_) {
    all += rate;
    fastest = std::max(fastest, rate);
  }
  const double total =
      std::min({static_cast<double>(last - first), static_cast<double>(share * rates_.size()),
                static_cast<double>(most_images()) * all / fastest});
  std::vector<std::uint64_t> bounds = {first};
  double before = 0;
  for (const double rate : rates_) {
    before += rate;
    const double chunks = total * before / all / static_cast<double>(chunk());
    bounds.push_back(std::min(last, first + static_cast<std::uint64_t>(chunks + 0.5) * chunk()));
  }
  if (total >= static_cast<double>(last - first)) bounds.back() = last;
  return bounds;
}

EvalPart Evaluation::run_part(std::uint64_t first, std::uint64_t last) {
  const Clock::time_point begin = Clock::now();
  const auto classes = static_cast<std::size_t>(report_.names.count());
  const auto count = static_cast<std::size_t>(last - first);
  paths_.resize(count);
  images_.assign(count, {});
  results_.resize(count);
  logits_.resize(count * classes);
  for (std::size_t i = 0; i < count; ++i) {
    paths_[i] = report_.dataset.path(first + i);
    images_[i].path = paths_[i].c_str();
  }
  EvalPart part;
  if (convmixer_run_images(session_, images_.data(), count, &o_.image, logits_.data(),
                           results_.data()) != CONVMIXER_OK) {
    part.stop = convmixer_last_error();
    return part;
  }
  for (std::size_t i = 0; i < count; ++i) {
    Prediction p;
    p.status = name_of(results_[i].status);
    p.outcome.label = report_.dataset.label(first + i);
    if (p.ok()) {
      p.outcome = scorer_.score(logits_.data() + i * classes, p.outcome.label);
    } else {
      p.error = results_[i].error;
      if (o_.strict || !is_about_image(results_[i].status)) part.stop = p.error;
    }
    if (!part.stop.empty()) break;  // without its row: once it is mended the run can be continued
    part.rows.push_back(std::move(p));
  }
  part.seconds = seconds_since(begin);
  return part;
}

void Evaluation::take_part(std::uint64_t first, std::uint64_t last, EvalPart part) {
  if (part.stop.empty() && part.rows.size() != last - first) {
    throw Failure(kFailed, fmt::format("expected a rank's results of {} images, found {}",
                                       last - first, part.rows.size()));
  }
  for (std::size_t i = 0; i < part.rows.size(); ++i) {
    part.rows[i].name = report_.dataset.name(first + i);
    take(first + i, part.rows[i]);
  }
  if (predictions_ != nullptr) predictions_->write(part.rows);
  if (!part.stop.empty()) throw Failure(kFailed, part.stop);
}

// Of a round that was long enough for every rank: shorter ones tell more of the clock. No rank's
// share falls below an eighth of the fastest one's, so that a bad moment is not believed for ever.
void Evaluation::learn_rates(const std::vector<std::uint64_t>& bounds,
                             const std::vector<double>& seconds) {
  constexpr double kTelling = 0.1, kLeast = 1.0 / 8;
  if (*std::min_element(seconds.begin(), seconds.end()) < kTelling) return;
  double fastest = 0;
  for (std::size_t rank = 0; rank < rates_.size(); ++rank) {
    rates_[rank] = static_cast<double>(bounds[rank + 1] - bounds[rank]) / seconds[rank];
    fastest = std::max(fastest, rates_[rank]);
  }
  for (double& rate : rates_) rate = std::max(rate, kLeast * fastest);
}

}  // namespace convmixer::cli
