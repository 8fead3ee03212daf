// SPDX-License-Identifier: Apache-2.0
// The report of convmixer eval as a page: what it holds, and what a browser makes of it.
#include "checkpoint_file.h"
#include "eval_command.h"

namespace convmixer::test {
namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

// What lies between `begin` and the next `end`.
std::string between(const std::string& text, const std::string& begin, const std::string& end) {
  const std::size_t at = text.find(begin);
  return at == std::string::npos ? "" : text.substr(at, text.find(end, at) - at);
}

class Page : public Eval {
 protected:
  std::string page(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "eval");
    arguments.insert(arguments.end(), {"--report", (folder / "r.html").string()});
    run(arguments);
    EXPECT_EQ(code, 0) << err;
    return read_text(folder / "r.html");
  }

  // The page as a headless Chromium of this width has it after a script wrote, as attributes of
  // <html>, what no test can see from outside. Empty where there is no browser.
  std::string in_browser(const std::string& html, int width) {
    const std::string path = browser();
    if (path.empty()) return "";
    write_text(folder / "probe.html", html + R"(<script>
const root = document.documentElement, images = [...document.images];
root.dataset.overflow = root.scrollWidth > innerWidth;
root.dataset.broken = images.filter(i => !i.complete || i.naturalWidth === 0).length;
root.dataset.flat = [...document.querySelectorAll("td, figure, .tile")].filter(e => e.clientHeight < 10).length;
</script>)");
    const std::string command = path + " --headless --no-sandbox --disable-gpu --user-data-dir='" +
                                (folder / "profile").string() +
                                "' --window-size=" + std::to_string(width) +
                                ",900 --dump-dom 'file://" + (folder / "probe.html").string() +
                                "' 2>/dev/null > '" + (folder / "dom").string() + "'";
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
    return read_text(folder / "dom");
  }

 private:
  static std::string browser() {
    std::istringstream path(std::getenv("PATH") != nullptr ? std::getenv("PATH") : "");
    for (std::string part; std::getline(path, part, ':');) {
      for (const char* name : {"chromium", "chromium-browser", "google-chrome"}) {
        if (::access((part + "/" + name).c_str(), X_OK) == 0) return part + "/" + name;
      }
    }
    return "";
  }
};

TEST_F(Page, HoldsAllThatTheNumbersHold) {
  const std::string html = page({"--images", kList});
  const std::string matrix = between(html, "<table class=\"matrix\">", "</table>");
  EXPECT_EQ(count(matrix, "<tr>"), 11u);
  EXPECT_EQ(count(matrix, "<td"), 100u);
  EXPECT_NE(matrix.find("title=\"dog taken for cat: 3 of 20\">3</td>"), std::string::npos);
  EXPECT_EQ(count(between(html, "<table class=\"list classes\">", "</table>"), "<tr>"), 11u);
  EXPECT_EQ(count(html, "<figure><img class=\"small\" alt=\"\" src=\"data:image/png;base64,iVBOR"),
            24u);
  EXPECT_NE(html.find("<b>83.00 %</b><span>top-1, 166 images</span>"), std::string::npos);
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_EQ(html.find("http"), std::string::npos) << "it loads nothing";
}

TEST_F(Page, EscapesNames) {
  put_image("<b>&\"'\x01\xff.jpg");
  const std::string name = "<b>&\"'\x01\xff.jpg";
  write_text(folder / "no<i>.jpg", "");
  const std::string html = page({"--images", list(name + " 0\nno<i>.jpg 1\n")});
  EXPECT_NE(html.find("&lt;b&gt;&amp;&quot;&#39; \xef\xbf\xbd.jpg"), std::string::npos);
  EXPECT_NE(html.find("<td>no&lt;i&gt;.jpg</td>"), std::string::npos);
  EXPECT_EQ(html.find("<b>&\""), std::string::npos);
  EXPECT_EQ(html.find("<i>.jpg"), std::string::npos);
}

// Of 1,000 classes the matrix shows those that are confused most.
TEST_F(Page, StaysReadableForAThousandClasses) {
  const std::string model = (folder / "model.safetensors").string();
  write_text(model, random_convmixer(8, 1, 3, 7, 1000).bytes());
  std::string text;
  for (int i = 0; i < 200; ++i) {
    text += lines_of(read_text(kList))[static_cast<std::size_t>(i)];
    text.resize(text.rfind(' ') + 1);
    text += std::to_string(i * 5) + "\n";
  }
  const std::string html =
      page({"--model", model, "--image-size", "28", "--images", list(text), "--root", kCifar});
  const std::string matrix = between(html, "<table class=\"matrix\">", "</table>");
  EXPECT_GE(count(matrix, "<tr>"), 2u);
  EXPECT_LE(count(matrix, "<tr>"), 21u);
  EXPECT_EQ(count(matrix, "<div>others</div>"), 1u);
  EXPECT_EQ(count(between(html, "<table class=\"list classes\">", "</table>"), "<tr>"), 201u);
  for (const int width : {1280, 390}) {
    const std::string dom = in_browser(html, width);
    if (dom.empty()) GTEST_SKIP() << "no Chromium on this machine";
    EXPECT_NE(dom.find("data-overflow=\"false\""), std::string::npos) << width;
  }
}

TEST_F(Page, ShowsInABrowser) {
  const std::string html = page({"--images", kList});
  for (const int width : {1280, 390}) {
    const std::string dom = in_browser(html, width);
    if (dom.empty()) GTEST_SKIP() << "no Chromium on this machine";
    EXPECT_NE(dom.find("data-overflow=\"false\""), std::string::npos) << width;
    EXPECT_NE(dom.find("data-broken=\"0\""), std::string::npos) << width;
    EXPECT_NE(dom.find("data-flat=\"0\""), std::string::npos) << width;
    EXPECT_EQ(count(between(dom, "<table class=\"matrix\">", "</table>"), "<td"), 100u);
    EXPECT_EQ(count(between(dom, "<table class=\"list classes\">", "</table>"), "<tr>"), 11u);
    EXPECT_EQ(count(dom, "<figure>"), 24u);
  }
}

}  // namespace
}  // namespace convmixer::test
