// SPDX-License-Identifier: Apache-2.0
#include "cli/predictions.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "cli/csv.h"
#include "cli/handles.h"
#include "support/output_file.h"

namespace convmixer::cli {
namespace {

constexpr std::string_view kMark = "# convmixer eval ";
constexpr std::string_view kColumns = "path,label,prediction,probability,rank,loss,status,error";
constexpr std::size_t kFields = 8;

std::string dump(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string header_of(const nlohmann::ordered_json& settings) {
  return fmt::format("{}{}\n{}\n", kMark, dump(settings), kColumns);
}

std::string line_of(const Prediction& p) {
  const Outcome& o = p.outcome;
  std::string line = fmt::format("{},{},", csv_field(p.name), o.label);
  // {} of a floating-point number: the fewest digits that give the same bits.
  line += p.ok() ? fmt::format("{},{},{},{},", o.predicted, o.probability, o.rank, o.loss)
                 : std::string(",,,,");
  return line + fmt::format("{},{}\n", p.status, csv_field(p.error));
}

bool parse_number(const std::string& text, std::int32_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= 0;
}

bool parse_number(const std::string& text, double& value) {
  char* end = nullptr;
  value = std::strtod(text.c_str(), &end);
  return !text.empty() && *end == '\0';
}

bool parse_number(const std::string& text, float& value) {
  char* end = nullptr;
  value = std::strtof(text.c_str(), &end);
  return !text.empty() && *end == '\0';
}

}  // namespace

PredictionsFile::PredictionsFile(const std::string& path, const nlohmann::ordered_json& settings,
                                 bool resume)
    : path_(path), settings_(settings) {
  try {
    open(resume);
  } catch (...) {
    if (fd_ >= 0) ::close(fd_);
    throw;
  }
}

PredictionsFile::~PredictionsFile() { ::close(fd_); }

void PredictionsFile::open(bool resume) {
  struct stat st {};
  const bool exists = ::stat(path_.c_str(), &st) == 0;
  const int stream = exists ? standard_stream(st) : -1;
  const bool regular = stream < 0 && (!exists || S_ISREG(st.st_mode));
  fd_ = stream >= 0
            ? ::dup(stream)
            : ::open(path_.c_str(), (regular ? O_RDWR | O_CREAT : O_WRONLY) | O_CLOEXEC, 0666);
  if (fd_ < 0) fail(fmt::format("cannot be written: {}", std::strerror(errno)));
  if (regular && ::flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    fail("another process is writing it");
  }
  if (!regular || ::fstat(fd_, &st) != 0 || st.st_size == 0) return begin();
  if (!resume) fail("exists: give --resume to continue it, or remove it to begin anew");
  if (!check_header()) {
    if (::ftruncate(fd_, 0) != 0) {
      fail(fmt::format("cannot be written: {}", std::strerror(errno)));
    }
    begin();
  }
}

void PredictionsFile::begin() { write_text(header_of(settings_)); }

bool PredictionsFile::check_header() {
  CsvReader reader(fd_, 0);
  std::string first, columns;
  const bool whole = reader.read_line(first);
  const bool ours = first.rfind(kMark, 0) == 0;
  if (!whole) {
    if (ours || kMark.rfind(first, 0) == 0) return false;
    fail("is no file of predictions: cannot be continued");
  }
  const nlohmann::ordered_json found =
      ours ? nlohmann::ordered_json::parse(first.substr(kMark.size()), nullptr, false)
           : nlohmann::ordered_json();
  if (!found.is_object()) fail("is no file of predictions: cannot be continued");
  for (const auto& [name, value] : settings_.items()) {
    const nlohmann::ordered_json old = found.value(name, nlohmann::ordered_json());
    if (old == value) continue;
    fail(fmt::format("cannot be continued: it was begun with another {}, {}, and this is {}", name,
                     dump(old), dump(value)));
  }
  if (!reader.read_line(columns)) {
    if (kColumns.rfind(columns, 0) == 0) return false;
  }
  if (columns != kColumns) {
    fail(fmt::format("cannot be continued: expected the columns {}, found {:.80}", kColumns,
                     columns));
  }
  rows_begin_ = reader.offset();
  return true;
}

void PredictionsFile::read_rows(
    const std::function<void(std::uint64_t row, const Prediction&)>& sink) {
  if (rows_begin_ == 0) return;
  CsvReader reader(fd_, rows_begin_);
  std::vector<std::string> fields;
  for (std::uint64_t row = 0; reader.read_row(fields); ++row) sink(row, parse(fields, row));
  const auto end = static_cast<off_t>(reader.offset());
  if (::ftruncate(fd_, end) != 0 || ::lseek(fd_, end, SEEK_SET) != end) {
    fail(fmt::format("cannot be written: {}", std::strerror(errno)));
  }
}

Prediction PredictionsFile::parse(const std::vector<std::string>& fields, std::uint64_t row) const {
  Prediction p;
  if (fields.size() == kFields) {
    p.name = fields[0];
    p.status = fields[6];
    p.error = fields[7];
    Outcome& o = p.outcome;
    if (parse_number(fields[1], o.label) && !p.status.empty() &&
        (!p.ok() ||
         (parse_number(fields[2], o.predicted) && parse_number(fields[3], o.probability) &&
          parse_number(fields[4], o.rank) && parse_number(fields[5], o.loss)))) {
      return p;
    }
  }
  fail(fmt::format("cannot be continued: row {} is damaged", row + 1));
}

void PredictionsFile::write(const std::vector<Prediction>& rows) {
  std::string text;
  for (const Prediction& row : rows) text += line_of(row);
  write_text(text);
}

void PredictionsFile::write_text(const std::string& text) {
  const int error = write_all(fd_, text.data(), text.size());
  if (error != 0) fail(fmt::format("cannot be written: {}", std::strerror(error)));
}

void PredictionsFile::fail(const std::string& what) const {
  throw Failure(kFailed, fmt::format("{}: {}", path_, what));
}

}  // namespace convmixer::cli
