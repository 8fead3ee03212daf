// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace convmixer::cli {

// A field as RFC 4180 writes it: in quotes where it holds a comma, a quote or an end of line.
std::string csv_field(std::string_view text);

// Reads rows from a file that is open for reading. Lines end with "\n".
class CsvReader {
 public:
  CsvReader(int fd, std::uint64_t offset) : fd_(fd), offset_(offset) {}

  // The next line as it is; false where none ends.
  bool read_line(std::string& line);
  // The next row; false at the end, and where the file ends within a row.
  bool read_row(std::vector<std::string>& fields);
  // Where the last line or row that was read ended.
  std::uint64_t offset() const { return offset_; }

 private:
  int next();  // −1 at the end

  int fd_;
  std::uint64_t offset_;
  std::vector<char> buffer_;
  std::size_t at_ = 0;         // in the buffer
  std::uint64_t taken_ = 0;    // bytes since offset_
  bool closed_quote_ = false;  // by the byte before
};

}  // namespace convmixer::cli
