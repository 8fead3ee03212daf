// SPDX-License-Identifier: Apache-2.0
#include "models/huggingface.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "models/json_object.h"
#include "support/error.h"
#include "support/file_map.h"

namespace convmixer {
namespace {

using Json = JsonObject::Json;

// The published models, by timm's names and, where those are longer, by the authors'.
constexpr std::pair<std::string_view, const char*> kPublished[] = {
    {"convmixer_1536_20", "gelu"},
    {"convmixer_1024_20_ks9_p14", "gelu"},
    {"convmixer_1024_20", "gelu"},
    {"convmixer_768_32", "relu"},
    {"convmixer_256_8", "gelu"}};

// A config.json: the top, and the parts of it that timm nests.
class Config {
 public:
  Config(const std::string& path, std::string_view text)
      : top_(without_nulls(JsonObject(path, text))),
        pretrained_(part("pretrained_cfg")),
        arguments_(part("model_args")) {}

  // As the JSON text of our metadata.
  std::string translated() const {
    refuse_others();
    Json known = Json::object();
    for (const char* key : {"input_size", "mean", "std", "crop_pct", "interpolation"}) {
      for (const JsonObject* place : {&pretrained_, &top_}) {
        const Json* value = place->find(key);
        if (value == nullptr) continue;
        known[key] = *value;
        break;
      }
    }
    if (const std::string activation = this->activation(); !activation.empty()) {
      known["activation"] = activation;
    }
    if (const std::vector<std::string> labels = this->labels(); !labels.empty()) {
      known["labels"] = labels;
    }
    return known.dump();
  }

 private:
  // Empty where it is not there.
  JsonObject part(const char* key) const {
    const Json* found = top_.find(key);
    if (found == nullptr) return JsonObject(top_.where(), key, Json::object());
    return without_nulls(JsonObject(top_.where(), key, *found));
  }

  // timm writes null for what a model does not state.
  static JsonObject without_nulls(const JsonObject& object) {
    Json kept = Json::object();
    for (const auto& [key, value] : object.json().items()) {
      if (!value.is_null()) kept[key] = value;
    }
    return JsonObject(object.where(), "", std::move(kept));
  }

  void refuse_others() const {
    for (const JsonObject* place : {&top_, &pretrained_}) {
      place->text("architecture", [&](const std::string& name) {
        if (!name.starts_with("convmixer")) unsupported("architecture", "a convmixer", name);
      });
      place->text("global_pool", [&](const std::string& name) {
        if (name != "avg") unsupported("global_pool", "avg", name);
      });
      place->text("crop_mode", [&](const std::string& name) {
        if (name != "center") unsupported("crop_mode", "center", name);
      });
      place->integer("num_classes", [](std::int64_t) {});
    }
  }

  [[noreturn]] void unsupported(const char* key, const char* known,
                                const std::string& found) const {
    throw Error(Code::kUnsupported, fmt::format("{}: expected {} as {}, found {}", top_.where(),
                                                known, key, in_quotes(found)));
  }

  std::string activation() const {
    std::string activation;
    top_.text("architecture", [&](std::string_view name) {
      name = name.substr(0, name.find('.'));  // "convmixer_768_32.in1k": how it was trained
      for (const auto& [published, known] : kPublished) {
        if (name == published) activation = known;
      }
    });
    arguments_.text("act_layer", [&](const std::string& name) { activation = name; });
    return activation;
  }

  std::vector<std::string> labels() const {
    std::vector<std::string> labels;
    for (const JsonObject* place : {&pretrained_, &top_}) {  // the last one counts, as in timm
      const auto set = [&](std::vector<std::string> texts) { labels = std::move(texts); };
      place->texts("labels", set);  // timm's older word
      if (const Json* ids = place->find("id2label")) {
        labels = in_order(JsonObject(place->where(), "id2label", *ids));
      }
      place->texts("label_names", set);
    }
    return labels;
  }

  // {"0": "tench", "1": …} → the labels; the keys must be 0 to the number of labels, in any order.
  static std::vector<std::string> in_order(const JsonObject& ids) {
    std::vector<std::string> labels(ids.json().size());
    for (const auto& [key, value] : ids.json().items()) {
      std::size_t index = 0;
      const char* const end = key.data() + key.size();
      const auto [rest, error] = std::from_chars(key.data(), end, index);
      if (error != std::errc() || rest != end || index >= labels.size() ||
          key != std::to_string(index)) {
        throw Error(Code::kFormat, fmt::format("{}: expected numbers from 0 to {} as keys of "
                                               "id2label, found {}",
                                               ids.where(), labels.size() - 1, in_quotes(key)));
      }
      ids.text(key.c_str(), [&](const std::string& label) { labels[index] = label; });
    }
    return labels;
  }

  JsonObject top_, pretrained_, arguments_;
};

bool is_file(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error);
}

}  // namespace

bool is_folder(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

Checkpoint open_huggingface(const std::string& folder) {
  const std::string slash = folder.ends_with('/') ? "" : "/";
  const std::string config_path = folder + slash + "config.json";
  if (!is_file(config_path)) {
    throw Error(Code::kIo, folder + ": is a folder, expected a file, or config.json in the folder");
  }
  std::string weights_path = folder + slash + "model.safetensors";
  if (!is_file(weights_path)) weights_path = folder + slash + "pytorch_model.bin";
  if (!is_file(weights_path)) {
    throw Error(Code::kIo, folder +
                               ": expected model.safetensors or pytorch_model.bin beside "
                               "config.json, found neither");
  }
  const std::vector<std::uint8_t> text = read_file(config_path, kMaxJsonBytes);
  std::string translated =
      Config(config_path, {reinterpret_cast<const char*>(text.data()), text.size()}).translated();
  Checkpoint checkpoint = open_checkpoint(weights_path);
  checkpoint.config_path = config_path;
  checkpoint.config_json = std::move(translated);
  return checkpoint;
}

}  // namespace convmixer
