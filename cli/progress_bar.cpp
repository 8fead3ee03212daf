// SPDX-License-Identifier: Apache-2.0
#include "cli/progress_bar.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "cli/launcher.h"

namespace convmixer::cli {
namespace {

std::size_t terminal_width() {
  struct winsize size {};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string duration(double seconds) {  // 0:07, 12:30, 3:05:00
  const auto s = static_cast<std::uint64_t>(std::clamp(seconds, 0.0, 1e9));
  return s < 3600 ? fmt::format("{}:{:02}", s / 60, s % 60)
                  : fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

}  // namespace

ProgressBar::ProgressBar(std::uint64_t total, std::uint64_t before)
    : total_(total), before_(before), shown_(connect_terminal()) {}

void ProgressBar::clear() const {
  if (shown_) std::fputs("\r\033[K", stderr);
}

void ProgressBar::show(std::uint64_t done, const std::string& so_far) const {
  if (!shown_ || total_ == 0) return;
  const double seconds = seconds_since(begin_);
  std::string text = fmt::format(" {}/{}", done, total_);
  if (done > before_ && seconds > 0) {
    const double rate = static_cast<double>(done - before_) / seconds;
    text += fmt::format("  {:.{}f} images/s  {} left", rate, rate < 10 ? 1 : 0,
                        duration(static_cast<double>(total_ - done) / rate));
  }
  text += so_far;
  // What the text leaves of the line is the bar; a narrow terminal gets less text.
  const std::size_t width = terminal_width() - 1, kMost = 30;
  std::string bar;
  if (text.size() + 8 <= width) {
    const std::size_t cells = std::min(kMost, width - text.size() - 2);
    const std::size_t full = cells * done / total_;
    bar = "[" + std::string(full, '#') + std::string(cells - full, '.') + "]";
  }
  std::string line = bar + text;
  line.resize(std::min(line.size(), width));
  fmt::print(stderr, "\r{}\033[K", line);
}

}  // namespace convmixer::cli
