// SPDX-License-Identifier: Apache-2.0
// The file of an evaluation's predictions, which a later run can continue.
#pragma once

#include <convmixer.h>

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "cli/tally.h"

namespace convmixer::cli {

// One image, a row of the file.
struct Prediction {
  std::string_view name;
  Outcome outcome;     // of a failed image only the label
  std::string status;  // "ok", or as name_of() says
  std::string error;
  bool ok() const { return status == "ok"; }
};

// A CSV of rows in the order of the list. Its first line is "# convmixer eval " and a JSON object
// of all that decides the numbers, so that only a run of the same can continue it; then a line of
// the columns' names, then a row an image. Numbers are written so that reading gives the same bits.
// Unlike other outputs it is written as the work goes and stays when that is interrupted.
// Everything that fails throws Failure with the path.
class PredictionsFile {
 public:
  // Takes an earlier run's rows only with `resume`; without it a file that holds something is left
  // alone and refused. The file belongs to this process until it ends.
  PredictionsFile(const std::string& path, const nlohmann::ordered_json& settings, bool resume);
  ~PredictionsFile();
  PredictionsFile(const PredictionsFile&) = delete;
  PredictionsFile& operator=(const PredictionsFile&) = delete;

  // Gives each complete row of the earlier run, and drops a torn one at the end. To be called once,
  // before write().
  void read_rows(const std::function<void(std::uint64_t row, const Prediction&)>& sink);
  // Hands the rows to the system: they survive the end of this process.
  void write(const std::vector<Prediction>& rows);

 private:
  void open(bool resume);
  void begin();
  // Reads the first two lines and compares; false where they were never written whole.
  bool check_header();
  Prediction parse(const std::vector<std::string>& fields, std::uint64_t row) const;
  void write_text(const std::string& text);
  [[noreturn]] void fail(const std::string& what) const;

  std::string path_;
  nlohmann::ordered_json settings_;
  int fd_ = -1;
  std::uint64_t rows_begin_ = 0;  // where rows of an earlier run begin; 0: there are none
};

}  // namespace convmixer::cli
