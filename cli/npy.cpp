// SPDX-License-Identifier: Apache-2.0
#include "cli/npy.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>

#include "cli/handles.h"

namespace convmixer::cli {
namespace {

static_assert(std::endian::native == std::endian::little, "files hold little-endian floats");

struct NpyReader {
  const std::string& path;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file;
  std::size_t left = 0;

  [[noreturn]] void fail(const std::string& what) const {
    throw Failure(kFailed, path + ": " + what);
  }

  explicit NpyReader(const std::string& p) : path(p), file(nullptr, std::fclose) {
    // O_NONBLOCK: opening a pipe that nobody writes to must not hang; it is refused below.
    const int fd = ::open(p.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st {};
    if (fd >= 0) file.reset(::fdopen(fd, "rb"));
    if (!file || ::fstat(fd, &st) != 0) {
      fail(std::string("cannot be opened: ") + std::strerror(errno));
    }
    if (!S_ISREG(st.st_mode))
      fail("expected a .npy file, found something that is not a regular file");
    left = static_cast<std::size_t>(st.st_size);
  }

  void read(void* to, std::size_t size) {
    if (size > left) fail("expected a .npy file, found one that ends early");
    if (std::fread(to, 1, size, file.get()) != size) fail("cannot be read");
    left -= size;
  }
};

// A file's text for a message: it may be long, or no text at all.
std::string shown(const std::string& text) {
  constexpr std::size_t kMost = 80;
  std::string part = text.substr(0, kMost);
  for (char& c : part) c = c < ' ' || c > '~' ? '?' : c;
  return text.size() > kMost ? part + "…" : part;
}

// The text behind 'key': in the header, a Python dictionary, up to the `end` character.
std::string value_of(const NpyReader& reader, const std::string& header, const std::string& key,
                     char end) {
  const std::size_t at = header.find("'" + key + "':");
  const std::size_t from =
      at == std::string::npos ? at : header.find_first_not_of(' ', at + key.size() + 3);
  const std::size_t to = from == std::string::npos ? from : header.find(end, from);
  if (to == std::string::npos)
    reader.fail("expected a .npy header with '" + key + "', found " + shown(header));
  return header.substr(from, to - from + (end == ')' ? 1 : 0));
}

std::vector<std::size_t> parse_shape(const NpyReader& reader, const std::string& text) {
  std::vector<std::size_t> shape;
  if (text.empty() || text.front() != '(')
    reader.fail("expected a shape in the .npy header, found " + shown(text));
  for (std::size_t i = 1; i < text.size() && text[i] != ')';) {
    if (text[i] == ' ' || text[i] == ',') {
      ++i;
      continue;
    }
    std::size_t value = 0, digits = 0;
    for (; i < text.size() && text[i] >= '0' && text[i] <= '9' && digits < 18; ++i, ++digits) {
      value = value * 10 + static_cast<std::size_t>(text[i] - '0');
    }
    if (digits == 0 || digits == 18)
      reader.fail("expected a shape in the .npy header, found " + shown(text));
    shape.push_back(value);
  }
  return shape;
}

std::string read_header(NpyReader& reader) {
  unsigned char start[8], length[4] = {};
  reader.read(start, sizeof(start));
  if (std::memcmp(start, "\x93NUMPY", 6) != 0)
    reader.fail("expected a .npy file, found another kind of file");
  const int major = start[6];
  if (major < 1 || major > 3)
    reader.fail("expected .npy version 1 to 3, found " + std::to_string(major));
  reader.read(length, major == 1 ? 2 : 4);
  const std::size_t size =
      length[0] | length[1] << 8 | length[2] << 16 | std::size_t{length[3]} << 24;
  if (size > reader.left) reader.fail("expected a .npy file, found one that ends early");
  std::string header(size, '\0');
  reader.read(header.data(), size);
  return header;
}

}  // namespace

std::string shape_text(const std::vector<std::size_t>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i)
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

Array read_npy(const std::string& path) {
  NpyReader reader(path);
  const std::string header = read_header(reader);
  const std::string type = value_of(reader, header, "descr", ',');
  if (type != "'<f4'") reader.fail("expected float32 values ('<f4'), found " + shown(type));
  const std::string fortran = value_of(reader, header, "fortran_order", ',');
  if (fortran != "False") reader.fail("expected rows in C order, found Fortran order");
  Array array;
  array.shape = parse_shape(reader, value_of(reader, header, "shape", ')'));
  std::size_t count = 1;
  for (const std::size_t n : array.shape) {
    if (__builtin_mul_overflow(count, n, &count) || count > SIZE_MAX / sizeof(float)) {
      reader.fail("expected an array that fits the file, found shape " + shape_text(array.shape));
    }
  }
  if (count * sizeof(float) != reader.left) {
    reader.fail("expected " + std::to_string(count * sizeof(float)) +
                " bytes of values for shape " + shape_text(array.shape) + ", found " +
                std::to_string(reader.left));
  }
  array.values.resize(count);
  reader.read(array.values.data(), count * sizeof(float));
  return array;
}

void write_npy(OutputFile& file, const std::vector<std::size_t>& shape,
               const std::vector<float>& values) {
  std::string header =
      "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape_text(shape) + ", }";
  // The values begin at a multiple of 64 bytes; the header ends in a newline.
  constexpr std::size_t kStart = 10, kAlignment = 64;
  header.append((kAlignment - (kStart + header.size() + 1) % kAlignment) % kAlignment, ' ');
  header += '\n';
  std::string start("\x93NUMPY\x01\x00", 8);
  start += static_cast<char>(header.size() & 0xFF);
  start += static_cast<char>(header.size() >> 8);
  file.write(start.data(), start.size());
  file.write(header.data(), header.size());
  file.write(values.data(), values.size() * sizeof(float));
}

}  // namespace convmixer::cli
