// SPDX-License-Identifier: Apache-2.0
// convmixer compare: its numbers by known changes and by eval, images without classes, refusals.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "calibrate_command.h"

namespace convmixer::test {
namespace {

const std::string kBundled = kShare + "/cifar10_256_8.safetensors";

class Compare : public Calibrate {
 protected:
  // What `compare ARGUMENTS --json` prints, without what time and threads decide.
  nlohmann::json compare(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "compare");
    arguments.push_back("--json");
    run(arguments);
    EXPECT_EQ(code, 0) << err;
    if (code != 0) return {};
    nlohmann::json report = nlohmann::json::parse(out);
    for (const char* key : {"images_per_second", "seconds", "threads", "batch"}) {
      EXPECT_TRUE(report.contains(key)) << key;
      report.erase(key);
    }
    return report;
  }

  // The bundled model with something added to the classifier's bias of one class.
  std::string biased(std::size_t index, float more, const std::string& name = "biased") {
    CheckpointFile file = parse_file(read_text(kBundled));
    char* const at = file.tensors.at("head.bias").bytes.data() + index * sizeof(float);
    float value = 0;
    std::memcpy(&value, at, sizeof value);
    value += more;
    std::memcpy(at, &value, sizeof value);
    write_text(folder / name, file.bytes());
    return path(name);
  }

  // A list of every fourth image.
  std::string fifty() {
    std::string text;
    for (const std::string& line : lines_of(fifty_images())) text += kCifar + "/" + line + "\n";
    write_text(folder / "fifty.txt", text);
    return path("fifty.txt");
  }
};

// file → (prediction, is it right), as eval writes them.
std::map<std::string, std::pair<int, bool>> read_predictions(const std::string& csv) {
  std::map<std::string, std::pair<int, bool>> rows;
  for (const std::string& line : lines_of(csv)) {
    int label = 0, predicted = 0;
    const std::size_t comma = line.find(',');
    if (comma != std::string::npos &&
        std::sscanf(line.c_str() + comma, ",%d,%d", &label, &predicted) == 2) {
      rows[line.substr(0, comma)] = {predicted, label == predicted};
    }
  }
  return rows;
}

// One bias moves one logit of every image by as much.
TEST_F(Compare, MeasuresAKnownChange) {
  const nlohmann::json report =
      compare({"--model", kBundled, "--model", biased(3, 0.5F), "--images", fifty()});
  EXPECT_EQ(report["images"], 50);
  EXPECT_NEAR(report["largest_change"], 0.5, 1e-5);
  EXPECT_NEAR(report["root_mean_square"], 0.5 / std::sqrt(10.0), 1e-5);
  EXPECT_NEAR(report["relative_change"],
              report["largest_change"].get<double>() / report["largest_logit"].get<double>(),
              1e-12);
  ASSERT_EQ(report["worst"].size(), 10u);
  double before = 1;
  for (const nlohmann::json& image : report["worst"]) {
    EXPECT_NEAR(image["change"], 0.5, 1e-5);
    EXPECT_LE(image["change"], before);
    before = image["change"];
  }
  // The bias of a class that none is taken for any more.
  const nlohmann::json spoiled =
      compare({"--model", kBundled, "--model", biased(3, -100), "--images", kCifar + "/list.txt"});
  EXPECT_NEAR(spoiled["largest_change"], 100, 1e-3);
  EXPECT_GT(spoiled["changed"], 15);
  EXPECT_EQ(
      spoiled["second"]["only_correct"].get<int>() - spoiled["first"]["only_correct"].get<int>(),
      spoiled["second"]["top1_correct"].get<int>() - spoiled["first"]["top1_correct"].get<int>());
  EXPECT_LT(spoiled["top1_change"], -0.05);
}

// Counts as from the predictions that eval writes for each of the two.
TEST_F(Compare, CountsAsEvalDoes) {
  const std::string other = biased(5, 0.4F);
  const nlohmann::json report =
      compare({"--model", kBundled, "--model", other, "--images", kCifar, "--worst", "200"});
  for (const std::string& model : {kBundled, other}) {
    run({"eval", "--images", kCifar, "--model", model, "--predictions",
         path(model == other ? "b.csv" : "a.csv")});
    ASSERT_EQ(code, 0) << err;
  }
  const auto a = read_predictions(read_text(path("a.csv"))),
             b = read_predictions(read_text(path("b.csv")));
  ASSERT_EQ(a.size(), 200u);
  int equal = 0, right[2] = {}, only[2] = {};
  for (const auto& [name, one] : a) {
    const auto two = b.at(name);
    equal += one.first == two.first;
    right[0] += one.second;
    right[1] += two.second;
    only[0] += one.second && !two.second;
    only[1] += two.second && !one.second;
  }
  EXPECT_LT(equal, 200);  // else this shows nothing
  EXPECT_EQ(report["equal"], equal);
  EXPECT_EQ(report["changed"], 200 - equal);
  EXPECT_DOUBLE_EQ(report["agreement"], equal / 200.0);
  EXPECT_EQ(report["first"]["top1_correct"], right[0]);
  EXPECT_EQ(report["second"]["top1_correct"], right[1]);
  EXPECT_EQ(report["first"]["only_correct"], only[0]);
  EXPECT_EQ(report["second"]["only_correct"], only[1]);
  EXPECT_DOUBLE_EQ(report["top1_change"], right[1] / 200.0 - right[0] / 200.0);
  ASSERT_EQ(report["worst"].size(), 200u);
  for (const nlohmann::json& image : report["worst"]) {
    const std::string file = image["file"];
    EXPECT_EQ(image["first"]["index"], a.at(file).first) << file;
    EXPECT_EQ(image["second"]["index"], b.at(file).first) << file;
    EXPECT_EQ(image["label"], file.substr(0, file.find('/')));
  }
}

TEST_F(Compare, TheSameNetworkIsEqualWhateverBatchAndThreads) {
  fs::copy_file(kBundled, folder / "copy");
  nlohmann::json same =
      compare({"--model", kBundled, "--model", path("copy"), "--images", fifty()});
  EXPECT_EQ(same["agreement"], 1.0);
  EXPECT_EQ(same["largest_change"], 0.0);
  EXPECT_EQ(same["root_mean_square"], 0.0);
  EXPECT_EQ(same["top1_change"], 0.0);
  EXPECT_EQ(same["worst"][0]["file"], kCifar + "/airplane/0000.jpg");  // equal ones in list order
  const std::vector<std::string> arguments{"--model",        kBundled,   "--model",
                                           biased(2, 0.25F), "--images", fifty()};
  const nlohmann::json want = compare(arguments);
  for (const auto& [batch, threads] :
       {std::pair<const char*, const char*>{"1", "1"}, {"7", "2"}, {"32", "3"}}) {
    std::vector<std::string> more(arguments);
    more.insert(more.end(), {"--batch", batch, "--threads", threads});
    EXPECT_EQ(compare(more), want) << batch << " " << threads;
  }
}

TEST_F(Compare, PrecisionsOfOneModel) {
  const std::string model = calibrated({"--images", kCifar, "--samples", "50"});
  const std::vector<std::string> more = isa();
  const auto precisions = [&](const std::string& names) {
    std::vector<std::string> arguments{"--model", model,      "--precision",
                                       names,     "--images", kCifar + "/ship"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const nlohmann::json report = compare(arguments);
    EXPECT_EQ(report["classes_by"], "none");
    return report;
  };
  const nlohmann::json one = precisions("int8"), two = precisions("int8,fp32");
  EXPECT_EQ(one, precisions("fp32,int8"));
  EXPECT_EQ(one["first"]["precision"], "fp32");
  EXPECT_EQ(two["first"]["precision"], "int8");
  EXPECT_EQ(two["second"], one["first"]);
  EXPECT_EQ(two["largest_change"], one["largest_change"]);
  EXPECT_GT(one["largest_change"], 0);
  EXPECT_LT(one["second"]["weight_bytes"], one["first"]["weight_bytes"]);
  // Two models, one name: both.
  std::vector<std::string> both{"--model",     model,  "--model",  model,
                                "--precision", "int8", "--images", kCifar + "/ship"};
  both.insert(both.end(), more.begin(), more.end());
  const nlohmann::json same = compare(both);
  EXPECT_EQ(same["first"]["precision"], "int8");
  EXPECT_EQ(same["largest_change"], 0.0);
  run({"compare", "--precision", "int8", "--images", kCifar});
  expect_error(1, {"convmixer calibrate"});
}

TEST_F(Compare, Bf16IsNear) {
  run({"describe", "--precision", "bf16"});
  std::vector<std::string> arguments{"--precision", "bf16", "--images", fifty()};
  if (code != 0) arguments.insert(arguments.end(), {"--isa", "portable"});
  const nlohmann::json report = compare(arguments);
  EXPECT_GE(report["equal"], 49);  // 50 and 0.0023 were seen, of all 200 images 199 and 0.0054
  EXPECT_LT(report["relative_change"], 0.02);
  EXPECT_GT(report["largest_change"], 1e-4);
}

TEST_F(Compare, ImagesNeedNoClasses) {
  const std::string other = biased(3, 0.5F);
  const auto unlabelled = [&](const std::string& images, int count, const std::string& why) {
    const nlohmann::json report =
        compare({"--model", kBundled, "--model", other, "--images", images});
    EXPECT_EQ(report["images"], count);
    EXPECT_EQ(report["classes_by"], "none");
    EXPECT_NE(report["why_no_classes"].get<std::string>().find(why), std::string::npos)
        << report["why_no_classes"];
    for (const char* key : {"top1", "top1_correct", "only_correct"}) {
      EXPECT_TRUE(report["first"][key].is_null()) << key;
    }
    EXPECT_TRUE(report["top1_change"].is_null());
    EXPECT_TRUE(report["worst"][0]["label"].is_null());
    EXPECT_NEAR(report["largest_change"], 0.5, 1e-5);
  };
  unlabelled(kCifar + "/cat", 20, "expected a folder for each class, found none");
  fs::create_directories(folder / "album/2023");
  fs::copy_file(kCifar + "/cat/0000.jpg", folder / "album/my cat 3");  // no image's name
  fs::copy_file(kCifar + "/cat/0000.jpg", folder / "album/a.jpg");
  fs::copy_file(kCifar + "/dog/0000.jpg", folder / "album/2023/b.jpg");
  unlabelled(path("album"), 2, "\"2023\" is neither");
  // The first line decides: as a whole it names a file, although it ends with a class.
  write_text(folder / "album/list", "my cat 3\n\n2023/b.jpg\r\n");
  unlabelled(path("album/list"), 2, "its lines are paths");
  run({"compare", "--model", kBundled, "--model", other, "--images", path("album")});
  EXPECT_EQ(code, 0) << err;
  EXPECT_NE(out.find("2 of " + path("album") + ", without classes"), std::string::npos) << out;
  EXPECT_EQ(out.find("top-1"), std::string::npos) << out;
  write_text(folder / "album/labelled", "a.jpg 3\n2023/b.jpg 5\n");
  const nlohmann::json labelled =
      compare({"--model", kBundled, "--model", other, "--images", path("album/labelled")});
  EXPECT_EQ(labelled["classes_by"], "list");
  EXPECT_TRUE(labelled["why_no_classes"].is_null());
  EXPECT_EQ(labelled["worst"].size(), 2u);
}

TEST_F(Compare, PrintsAText) {
  const std::string json = path("out.json");
  run({"compare", "--model", kBundled, "--model", biased(3, -100), "--images", kList, "--output",
       json, "--worst", "2"});
  ASSERT_EQ(code, 0) << err;
  EXPECT_EQ(err, "");
  const nlohmann::json report = nlohmann::json::parse(read_text(json));
  EXPECT_EQ(report["worst"].size(), 2u);
  const auto count = [](const nlohmann::json& number) { return std::to_string(number.get<int>()); };
  for (const std::string& part :
       {"first       " + kBundled + ", fp32, ", "second      " + path("biased") + ", fp32, ",
        "images      200 of " + kList + ", classes by the list", std::string("equal       "),
        count(report["equal"]) + "; " + count(report["changed"]) + " changed",
        std::string("top-1       83.00 % → "),
        ", 166 → " + count(report["second"]["top1_correct"]) + " (-",
        count(report["second"]["only_correct"]) + " mended, " +
            count(report["first"]["only_correct"]) + " spoiled",
        std::string("logits      change by at most 100, "), std::string("\nlargest changes\n"),
        std::string(", taken for ")}) {
    EXPECT_NE(out.find(part), std::string::npos) << part << " in:\n" << out;
  }
}

TEST_F(Compare, BrokenImagesAreLeftOut) {
  write_text(folder / "text.jpg", "no image");
  const std::string cat = kCifar + "/cat/0000.jpg 3\n";
  write_text(folder / "list", cat + "text.jpg 3\n/no/such.jpg 4\n" + cat);
  const std::vector<std::string> models{"--model", kBundled, "--model", biased(3, 0.5F)};
  std::vector<std::string> arguments(models);
  arguments.insert(arguments.end(), {"--images", path("list")});
  const nlohmann::json report = compare(arguments);
  EXPECT_EQ(report["images"], 2);
  EXPECT_EQ(report["failed"], 2);
  EXPECT_EQ(report["worst"].size(), 2u);
  ASSERT_EQ(report["failures"].size(), 2u);
  EXPECT_EQ(report["failures"][0]["file"], "text.jpg");
  EXPECT_EQ(report["failures"][0]["status"], "format_error");
  EXPECT_EQ(report["failures"][1]["status"], "io_error");
  EXPECT_EQ(lines_of(err).size(), 2u) << err;
  write_text(folder / "bad", "/no/such.jpg 4\n");
  arguments = models;
  arguments.insert(arguments.begin(), "compare");
  arguments.insert(arguments.end(), {"--images", path("bad"), "--output", path("out.json")});
  run(arguments);
  EXPECT_EQ(code, 1);
  EXPECT_NE(err.find("none of the 1 images"), std::string::npos) << err;
  EXPECT_FALSE(fs::exists(folder / "out.json"));
}

// The list's own text and 16 bytes an image; not logits, and no sentence for each failure.
TEST_F(Compare, TakesLittleMemoryForALongList) {
  const auto peak_of = [&](int count) {
    std::string text = kCifar + "/cat/0000.jpg\n";
    for (int i = 0; i < count; ++i)
      text += "/no/such/folder/of/pictures/" + std::to_string(i) + "\n";
    write_text(folder / "list", text);
    const nlohmann::json report = compare(
        {"--model", kBundled, "--model", kBundled, "--images", path("list"), "--threads", "1"});
    EXPECT_EQ(report["failed"], count);
    EXPECT_EQ(report["failures"].size(), 100u);
    return peak_kib;
  };
  const long before = peak_of(5000);
  const long after = peak_of(100000);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(after - before, 24 * 1024) << before;
#else
  EXPECT_GT(after, 0) << before;
#endif
}

// A NaN is the largest change of all, and no number of JSON's.
TEST_F(Compare, NaNIsTheWorstChange) {
  const nlohmann::json report =
      compare({"--model", kBundled, "--model", biased(3, std::nanf("")), "--images", fifty()});
  EXPECT_EQ(report["images"], 50);
  for (const char* key : {"largest_change", "relative_change", "root_mean_square"}) {
    EXPECT_TRUE(report[key].is_null()) << key;
  }
  EXPECT_TRUE(report["worst"][0]["change"].is_null());
  const std::string both = biased(3, std::nanf(""));
  const nlohmann::json same = compare({"--model", both, "--model", both, "--images", fifty()});
  EXPECT_EQ(same["largest_change"], 0.0);
}

TEST_F(Compare, RefusesWhatCannotBeCompared) {
  const auto refused = [&](int want, std::vector<std::string> arguments,
                           const std::vector<std::string>& words) {
    arguments.insert(arguments.begin(), "compare");
    run(arguments);
    expect_error(want, words);
  };
  const std::string tiny = kData + "/tiny/relu_48/timm.safetensors";
  const std::vector<std::string> images{"--images", kCifar};
  refused(2, {"--precision", "bf16"}, {"--images"});
  refused(2, {"--images", kCifar}, {"two networks", "--precision"});
  refused(2, {"--images", kCifar, "--precision", "fp32"}, {"two networks"});
  for (const char* names : {"int4", "", "fp32,", "fp32,bf16,int8", "fp32 bf16"}) {
    refused(2, {"--images", kCifar, "--precision", names}, {"--precision"});
  }
  refused(2, {"--images", kCifar, "--model", "a", "--model", "b", "--model", "c"},
          {"--model", "one or two", "3"});
  refused(1, {"--images", kCifar, "--model", kBundled, "--model", "/no/such"}, {"/no/such"});
  refused(2, {"--images", kCifar, "--model", kBundled, "--model", tiny},
          {tiny, "expected 10 classes as in " + kBundled, "1000"});
  write_text(folder / "names",
             "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nmare\nship\ntruck");
  run({"convert", "--model", kBundled, "--output", path("renamed"), "--labels", path("names")});
  ASSERT_EQ(code, 0) << err;
  refused(2, {"--images", kCifar, "--model", kBundled, "--model", path("renamed")},
          {"class 7", "\"horse\"", "\"mare\""});
  const std::vector<std::string> two{"--model", kBundled, "--model", kBundled};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), two.begin(), two.end());
    return more;
  };
  refused(2, with({"--images", kCifar, "--root", kCifar}), {"--root", "list"});
  refused(2, with({"--images", kCifar, "--worst", "-1"}), {"--worst"});
  refused(1, with({"--images", "/no/such.txt"}), {"/no/such.txt", "cannot be read"});
  refused(1, with({"--images", kCifar, "--output", "/no/such/o.json"}), {"/no/such/o.json"});
  fs::create_directory(folder / "empty");
  refused(1, with({"--images", path("empty")}), {"empty", "found none"});
  write_text(folder / "list", "cat/0000.jpg 3\ncat/0001.jpg lynx\n");  // labels, so all of them
  refused(1, with({"--images", path("list"), "--root", kCifar}), {"list:2", "lynx"});
}

}  // namespace
}  // namespace convmixer::test
