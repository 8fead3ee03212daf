// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/model_options.h"
#include "cli/places.h"
#include "cli/png_writer.h"
#include "support/output_file.h"

namespace convmixer::cli {
namespace {

struct TransformOptions {
  convmixer_image_options image = CONVMIXER_IMAGE_OPTIONS_INIT;
  ImageSize size{224, 224};
  std::string input, output, interpolation;
};

void transform(TransformOptions& o) {
  refuse_same_files({{"IMAGE", o.input}}, {{"--output", o.output}});
  OutputFile file(o.output);
  o.image.image_height = o.size.height;
  o.image.image_width = o.size.width;
  if (!o.interpolation.empty()) o.image.interpolation = o.interpolation.c_str();
  convmixer_image image{};
  image.path = o.input.c_str();
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(o.size.height) *
                                   static_cast<std::size_t>(o.size.width) * 3);
  check(convmixer_transform(&image, &o.image, pixels.data(), pixels.size()));
  write_png(file, pixels, o.size.width, o.size.height);
  file.commit();
}

}  // namespace

void add_transform(CLI::App& app) {
  CLI::App& command =
      *app.add_subcommand("transform", "Write the crop that a model sees of an image, as a PNG");
  auto o = std::make_shared<TransformOptions>();
  command.add_option("IMAGE", o->input, "A JPEG, PNG or WebP file")->required();
  command.add_option("--output", o->output, "The PNG to write")->required()->type_name("FILE.png");
  add_image_size_option(command, o->size, "224");
  add_crop_pct_option(command, o->image.crop_pct, "0.96");
  add_interpolation_option(command, o->interpolation, "bicubic");
  add_decode_options(command, o->image);
  command.footer(
      "Example: convmixer transform photo.jpg --output crop.png --image-size 224 --crop-pct 0.96");
  command.callback([o] { transform(*o); });
}

}  // namespace convmixer::cli
