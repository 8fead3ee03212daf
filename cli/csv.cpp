// SPDX-License-Identifier: Apache-2.0
#include "cli/csv.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cli/handles.h"

namespace convmixer::cli {

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

int CsvReader::next() {
  if (at_ == buffer_.size()) {
    buffer_.resize(std::size_t{1} << 16);
    ssize_t n = 0;
    do {
      n = ::pread(fd_, buffer_.data(), buffer_.size(), static_cast<off_t>(offset_ + taken_));
    } while (n < 0 && errno == EINTR);
    if (n < 0) throw Failure(kFailed, std::string("cannot be read: ") + std::strerror(errno));
    buffer_.resize(static_cast<std::size_t>(n));
    at_ = 0;
    if (n == 0) return -1;
  }
  ++taken_;
  return static_cast<unsigned char>(buffer_[at_++]);
}

bool CsvReader::read_line(std::string& line) {
  line.clear();
  for (int c = next(); c >= 0; c = next()) {
    if (c == '\n') {
      offset_ += taken_;
      taken_ = 0;
      return true;
    }
    line += static_cast<char>(c);
  }
  return false;
}

bool CsvReader::read_row(std::vector<std::string>& fields) {
  fields.assign(1, "");
  bool quoted = false;
  for (int c = next(); c >= 0; c = next()) {
    if (c == '"') {
      // A quote that is doubled closes and opens again: it is then text.
      if (!quoted && closed_quote_) fields.back() += '"';
      quoted = !quoted;
      closed_quote_ = !quoted;
      continue;
    }
    closed_quote_ = false;
    if (quoted || (c != ',' && c != '\n')) {
      fields.back() += static_cast<char>(c);
    } else if (c == ',') {
      fields.emplace_back();
    } else {
      offset_ += taken_;
      taken_ = 0;
      return true;
    }
  }
  return false;
}

}  // namespace convmixer::cli
