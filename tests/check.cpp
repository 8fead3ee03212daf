// SPDX-License-Identifier: Apache-2.0
#include "tests/check.h"

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace convmixer::test {
namespace {

constexpr std::uint32_t kMarker = 0x7fc0d00d;  // a quiet NaN that no arithmetic makes

bool is_marker(float value) { return std::bit_cast<std::uint32_t>(value) == kMarker; }

template <typename... Args>
std::string format(const char* pattern, Args... args) {
  char text[256];
  std::snprintf(text, sizeof(text), pattern, args...);
  return text;
}

// The value of a key of the header's Python dictionary, up to its comma or bracket.
std::string npy_field(const std::string& header, const std::string& key, const char* end) {
  const std::size_t at = header.find("'" + key + "':");
  if (at == std::string::npos) throw std::runtime_error("npy: no " + key);
  const std::size_t begin = at + key.size() + 3;
  return header.substr(begin, header.find_first_of(end, begin) - begin);
}

}  // namespace

double product_limit(int k, double sum) {
  return kEpsilon * (4 + 2 * std::sqrt(static_cast<double>(k))) * sum;
}

std::uint64_t Random::next() {
  std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

float Random::uniform(float low, float high) {
  return low + (high - low) * (static_cast<float>(next() >> 40) * 0x1p-24f);
}

int Random::integer(int low, int high) {
  return low + static_cast<int>(next() % static_cast<std::uint64_t>(high - low + 1));
}

std::vector<float> Random::uniforms(std::size_t count, float low, float high) {
  std::vector<float> values(count);
  for (float& v : values) v = uniform(low, high);
  return values;
}

std::vector<float> Random::integers(std::size_t count) {
  std::vector<float> values(count);
  for (float& v : values) v = static_cast<float>(integer(-32, 32));
  return values;
}

std::string Comparison::Element::text() const {
  return format("(n %d, c %d, h %d, w %d): want %.9g, got %.9g, error %.3g, limit %.3g", index[0],
                index[1], index[2], index[3], want, got, std::fabs(got - want), limit);
}

void Comparison::add(int n, int c, int h, int w, double want, double got, double limit) {
  ++count_;
  double ratio = 0;
  if (std::isnan(want) || std::isnan(got)) {
    ratio = std::isnan(want) == std::isnan(got) ? 0 : HUGE_VAL;
  } else if (want != got) {
    ratio = limit > 0 && std::isfinite(want) ? std::fabs(got - want) / limit : HUGE_VAL;
  }
  const bool wrong = !(ratio <= 1);
  const Element element{{n, c, h, w}, want, got, limit};
  if (wrong && wrong_++ == 0) first_ = element;
  if (ratio > worst_ratio_) {
    worst_ratio_ = ratio;
    worst_ = element;
  }
}

testing::AssertionResult Comparison::result() const {
  if (count_ == 0) return testing::AssertionFailure() << what_ << ": nothing was compared";
  if (wrong_ == 0) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << what_ << ": " << wrong_ << " of " << count_ << " elements are wrong (seed " << seed_
         << ")\n  first " << first_.text() << "\n  worst " << worst_.text();
}

Framed::Framed(std::size_t size) : size_(size), memory_(size + 2 * kGuard) {
  for (std::size_t i = 0; i < memory_.size(); ++i) memory_[i] = std::bit_cast<float>(kMarker);
}

bool Framed::untouched(std::size_t i) const { return is_marker(data()[i]); }

testing::AssertionResult Framed::frame_intact() const {
  for (std::size_t i = 0; i < memory_.size(); ++i) {
    if (i >= kGuard && i < kGuard + size_) continue;
    if (!is_marker(memory_[i])) {
      return testing::AssertionFailure()
             << "the guard at float " << static_cast<std::ptrdiff_t>(i) - std::ptrdiff_t{kGuard}
             << " of a buffer of " << size_ << " was overwritten";
    }
  }
  return testing::AssertionSuccess();
}

testing::AssertionResult same_bits(const float* want, const float* got, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto a = std::bit_cast<std::uint32_t>(want[i]), b = std::bit_cast<std::uint32_t>(got[i]);
    if (a != b) {
      return testing::AssertionFailure()
             << format("float %zu of %zu differs: %.9g (%08x) and %.9g (%08x)", i, count,
                       double{want[i]}, a, double{got[i]}, b);
    }
  }
  return testing::AssertionSuccess();
}

Npy read_npy(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (bytes.size() < 10 || bytes.compare(0, 6, "\x93NUMPY") != 0) {
    throw std::runtime_error(path + ": not a .npy file");
  }
  const std::size_t length =
      static_cast<unsigned char>(bytes[8]) + 256u * static_cast<unsigned char>(bytes[9]);
  const std::string header = bytes.substr(10, length);
  const bool doubles = npy_field(header, "descr", ",").find("<f8") != std::string::npos;
  if (!doubles && npy_field(header, "descr", ",").find("<f4") == std::string::npos) {
    throw std::runtime_error(path + ": expected <f4 or <f8");
  }
  Npy npy;
  std::size_t count = 1;
  std::string shape = npy_field(header, "shape", ")");
  for (char& c : shape) c = c >= '0' && c <= '9' ? c : ' ';
  for (std::size_t i = 0; (i = shape.find_first_not_of(' ', i)) != std::string::npos;) {
    std::size_t used = 0;
    npy.shape.push_back(std::stoi(shape.substr(i), &used));
    i += used;
    count *= static_cast<std::size_t>(npy.shape.back());
  }
  if (bytes.size() != 10 + length + count * (doubles ? 8 : 4)) {
    throw std::runtime_error(path + ": the shape does not fit the size");
  }
  npy.values.resize(count);
  const char* const data = bytes.data() + 10 + length;
  if (!doubles) {
    std::memcpy(npy.values.data(), data, count * sizeof(float));
    return npy;
  }
  std::vector<double> values(count);
  std::memcpy(values.data(), data, count * sizeof(double));
  for (std::size_t i = 0; i < count; ++i) npy.values[i] = static_cast<float>(values[i]);
  return npy;
}

}  // namespace convmixer::test
