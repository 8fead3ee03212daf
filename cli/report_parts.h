// SPDX-License-Identifier: Apache-2.0
// What the reports of eval and compare are made of.
#pragma once

#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/class_names.h"

namespace convmixer::cli {

struct FailedImage {
  std::string name, status, error;
};
constexpr std::size_t kMostFailures = 100;  // named in a report; all were on stderr

inline double share(std::uint64_t part, std::uint64_t of) {
  return static_cast<double>(part) / static_cast<double>(of);
}

// Letters, not bytes: names may be any UTF-8.
inline std::string padded(const std::string& text, std::size_t width) {
  std::size_t letters = 0;
  for (const char c : text) letters += (c & 0xc0) != 0x80 ? 1 : 0;
  return letters < width ? text + std::string(width - letters, ' ') : text;
}

inline std::string report_line(const std::string& name, const std::string& value) {
  return padded(name, 12) + value + "\n";
}

// JSON has no NaN and no infinity.
inline nlohmann::ordered_json number_json(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
}

inline nlohmann::ordered_json label_json(const ClassNames& names, int index) {
  return names.label(index).empty() ? nlohmann::ordered_json()
                                    : nlohmann::ordered_json(names.label(index));
}

inline nlohmann::ordered_json failures_json(const std::vector<FailedImage>& failures) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const FailedImage& f : failures) {
    list.push_back({{"file", f.name}, {"status", f.status}, {"error", f.error}});
  }
  return list;
}

// One line. A file name may be any bytes; what is not UTF-8 in it is replaced.
inline std::string json_line(const nlohmann::ordered_json& report) {
  return report.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace convmixer::cli
