// SPDX-License-Identifier: Apache-2.0
// The list file of `convmixer eval`, for a model whose labels have a space, a twin and a digit.
#include <convmixer.h>

#include <string>

#include "checkpoint_file.h"
#include "cli/class_names.h"
#include "cli/dataset.h"
#include "cli/handles.h"
#include "fuzz_target.h"

namespace convmixer::cli {
namespace {

constexpr const char* kMetadata = R"({"labels": ["cat", "dog house", "crane", "crane", "7"]})";

Model five_classes() {
  CheckpointFile file = random_convmixer(1, 1, 1, 1, 5);
  file.metadata["convmixer"] = kMetadata;
  const std::string bytes = file.bytes();
  convmixer_model* model = nullptr;
  check(convmixer_model_open_memory(bytes.data(), bytes.size(), nullptr, &model));
  return Model(model);
}

void parse(const std::string& text, const ClassNames& classes) {
  Dataset dataset("/images/", LabelSource::kList);
  parse_list("list.txt", text, classes, dataset);
  require(dataset.size() > 0, "a list that is taken has images");
  for (std::size_t i = 0; i < dataset.size(); ++i) {
    require(dataset.label(i) >= 0 && dataset.label(i) < classes.count(), "a label is a class");
    require(!dataset.name(i).empty() && dataset.name(i).find('\n') == std::string_view::npos,
            "a name is a part of one line");
    require(dataset.path(i).ends_with(dataset.name(i)), "a path ends with the name");
  }
}

}  // namespace
}  // namespace convmixer::cli

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace convmixer;  // NOLINT(google-build-using-namespace)
  static const cli::ClassNames classes(cli::five_classes().get());
  takes<cli::Failure>([&] { cli::parse({reinterpret_cast<const char*>(data), size}, classes); });
  return 0;
}
