// SPDX-License-Identifier: Apache-2.0
#include "cli/places.h"

#include <fmt/format.h>

#include <exception>
#include <filesystem>
#include <system_error>

#include "cli/handles.h"

namespace convmixer::cli {
namespace {

namespace fs = std::filesystem;

bool is_same_file(const std::string& a, const std::string& b) {
  if (a.empty() || b.empty()) return false;
  std::error_code error;
  if (fs::exists(a, error) && fs::exists(b, error)) {
    return fs::is_regular_file(a, error) && fs::equivalent(a, b, error);
  }
  // Neither needs to be there yet, nor a folder that leads there.
  const fs::path x = fs::weakly_canonical(fs::absolute(a, error), error);
  const fs::path y = fs::weakly_canonical(fs::absolute(b, error), error);
  return !error && x == y;
}

}  // namespace

std::vector<Place> places_of_model(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return {{"--model", path}};
  std::vector<Place> places;
  for (const char* name : {"config.json", "model.safetensors", "pytorch_model.bin"}) {
    places.push_back({"--model", (fs::path(path) / name).string()});
  }
  return places;
}

void refuse_same_files(const std::vector<Place>& inputs, const std::vector<Place>& outputs) {
  std::vector<Place> others = inputs;
  for (const Place& output : outputs) {
    for (const Place& other : others) {
      if (!is_same_file(output.path, other.path)) continue;
      throw Failure(kWrongUsage, fmt::format("{}: expected another file than {}, found \"{}\"",
                                             output.option, other.option, output.path));
    }
    others.push_back(output);
  }
}

void try_each(std::initializer_list<std::function<void()>> writers) {
  std::exception_ptr first;
  for (const std::function<void()>& write : writers) {
    try {
      write();
    } catch (...) {
      if (first == nullptr) first = std::current_exception();
    }
  }
  if (first != nullptr) std::rethrow_exception(first);
}

void write_whole(OutputFile& file, const std::string& text) {
  file.write(text.data(), text.size());
  file.commit();
}

}  // namespace convmixer::cli
