// SPDX-License-Identifier: Apache-2.0
// Lists and class folders, good and bad.
#include "checkpoint_file.h"
#include "eval_command.h"

namespace convmixer::test {
namespace {

TEST_F(Eval, ReadsListsOfManyForms) {
  put_image("a picture of a cat.jpg");
  put_image("below/b.jpg");
  const std::string absolute = kCifar + "/dog/0000.jpg";
  const std::string forms =
      "\xef\xbb\xbf"
      "a picture of a cat.jpg 3\r\n\r\n   \n" +
      absolute + "\t5  \nbelow/b.jpg   cat\n" + absolute + " dog";
  const nlohmann::json report = eval({"--images", list(forms)});
  EXPECT_EQ(report["images"], 4);
  EXPECT_EQ(report["failed"], 0);
  EXPECT_EQ(report["classes"][3]["images"], 2);
  EXPECT_EQ(report["classes"][5]["images"], 2);
  // Relative names begin from --root where it is given.
  fs::create_directory(folder / "lists");
  const std::string moved = list("b.jpg 3\n", "lists/l.txt");
  EXPECT_EQ(eval({"--images", moved, "--root", (folder / "below").string()})["images"], 1);
  run({"eval", "--images", moved});
  EXPECT_EQ(code, 1);
  EXPECT_NE(err.find((folder / "lists/b.jpg").string()), std::string::npos) << err;
}

TEST_F(Eval, RefusesBadLists) {
  struct Case {
    std::string text, part;
  };
  const std::vector<Case> cases = {
      {"", "found none"},
      {"\n \r\n", "found none"},
      {"cat.jpg 3\ncat.jpg\n", "list.txt:2: expected \"path label\", found \"cat.jpg\""},
      {"cat.jpg 3\n\n 3\n", "list.txt:3: expected \"path label\""},
      {"cat.jpg 10\n", "list.txt:1: expected a class from 0 to 9, found 10"},
      {"cat.jpg -1\n", "found \"-1\""},
      {"cat.jpg 99999999999999999999\n", "from 0 to 9"},
      {"cat.jpg Cat\n", "a label of the model, found \"Cat\""},
      {"cat.jpg n01440764\n", "found \"n01440764\""},
      {std::string("cat.jpg 3\0\n", 11), "zero bytes"},
      {read_text(kCifar + "/cat/0000.jpg"), "zero bytes"},
      {std::string(100000, 'x'), "expected \"path label\""},
  };
  for (const Case& c : cases) {
    run({"eval", "--images", list(c.text)});
    expect_error(1, {"list.txt", c.part});
    EXPECT_LT(err.size(), 400u);
  }
  run({"eval", "--images", "/dev/zero"});  // endless
  expect_error(1, {"/dev/zero", "zero bytes"});
}

// A model of 1,000 classes: ImageNet's, which have WordNet ids and labels even where its file has
// none.
struct ImageNet : Eval {
  void SetUp() override {
    Eval::SetUp();
    fs::create_directory(folder / "images");
    model = (folder / "model.safetensors").string();
    write_text(model, random_convmixer(8, 1, 3, 7, 1000).bytes());
  }
  void put(const std::string& below) { put_image("images/" + below); }
  std::string images() { return (folder / "images").string(); }
  std::vector<std::string> arguments() {
    return {"eval", "--model", model, "--image-size", "28", "--images", images()};
  }
  nlohmann::json report() {
    const std::vector<std::string> all = arguments();
    return eval({all.begin() + 1, all.end()});
  }
  std::string model;
};

TEST_F(ImageNet, MatchesFoldersByWordNetId) {
  put("n02012849/1.jpg");
  put("n01440764/deep/1.jpg");
  put("n01440764/2.PNG");  // its content counts, not its name
  put(".hidden/1.jpg");
  const nlohmann::json r = report();
  EXPECT_EQ(r["classes_by"], "wordnet_ids");
  EXPECT_EQ(r["images"], 3);
  EXPECT_EQ(r["classes"][0]["images"], 2);
  EXPECT_EQ(r["classes"][0]["label"], "tench");
  EXPECT_EQ(r["classes"][134]["images"], 1);
  EXPECT_EQ(r["classes"][134]["label"], "crane");
}

TEST_F(ImageNet, MatchesFoldersByLabel) {
  put("great white shark/1.jpg");
  put("tiger_shark/1.jpg");
  const nlohmann::json r = report();
  EXPECT_EQ(r["classes_by"], "labels");
  EXPECT_EQ(r["classes"][2]["images"], 1);
  EXPECT_EQ(r["classes"][3]["images"], 1);
  put("crane/1.jpg");  // the bird or the machine
  run(arguments());
  expect_error(1,
               {"\"crane\" is the label of class 134 and of class 517", "1000 folders, found 3"});
}

TEST_F(ImageNet, RefusesFoldersThatMatchNothing) {
  run(arguments());
  expect_error(1, {"expected a folder for each class, found none"});
  put("n01440764/1.jpg");
  put("goldfish/1.jpg");
  run(arguments());
  expect_error(1, {"cannot be matched", "some are WordNet ids and some labels"});
  put("n99999999/1.jpg");
  run(arguments());
  expect_error(1, {"\"n99999999\" is neither a WordNet id nor a label", "found 3"});
}

TEST_F(ImageNet, ListsMayNameClasses) {
  const std::string cat = kCifar + "/cat/0000.jpg ";
  const std::vector<std::string> start = {"--model", model, "--image-size", "28", "--images"};
  const auto with = [&](const std::string& path) {
    std::vector<std::string> all = start;
    all.push_back(path);
    return all;
  };
  const nlohmann::json r =
      eval(with(list(cat + "n02012849\n" + cat + "134\n" + cat + "great_white_shark\n")));
  EXPECT_EQ(r["classes"][134]["images"], 2);
  EXPECT_EQ(r["classes"][2]["images"], 1);
  std::vector<std::string> all = with(list(cat + "crane\n"));
  all.insert(all.begin(), "eval");
  run(all);
  expect_error(1, {":1: \"crane\" is the label of class 134 and of class 517: write the index"});
}

TEST_F(Eval, TakesFoldersInSortedOrderWhereCountsAgree) {
  for (const char* name : {"K", "a", "b", "c", "d", "e", "f", "g", "h", "i"}) {
    put_image("images/" + std::string(name) + "/1.jpg");
  }
  const std::string images = (folder / "images").string();
  const nlohmann::json r = eval({"--images", images});
  EXPECT_EQ(r["classes_by"], "sorted_order");
  for (const nlohmann::json& c : r["classes"]) EXPECT_EQ(c["images"], 1);
  // A folder that is called as a class must be that class.
  fs::rename(folder / "images/d", folder / "images/cat");
  run({"eval", "--images", images});
  expect_error(1, {"in sorted order \"cat\" would be class 4, not class 3"});
  fs::remove_all(folder / "images/i");
  run({"eval", "--images", images});
  expect_error(1, {"sorted order would need 10 folders, found 9"});
  fs::create_directory(folder / "images/empty");
  fs::rename(folder / "images/cat", folder / "images/d");
  run({"eval", "--images", images});
  expect_error(1, {"images/empty", "found none"});
}

}  // namespace
}  // namespace convmixer::test
