// SPDX-License-Identifier: Apache-2.0
// Tests made at run time, so that they are named `<op>/<variant>.<shape>` and follow the one list
// of variants (kernels/registry.h).
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>

namespace convmixer::test {

class FunctionTest : public testing::Test {
 public:
  FunctionTest(std::string refusal, std::function<void()> body)
      : refusal_(std::move(refusal)), body_(std::move(body)) {}

 private:
  void TestBody() override {
    if (!refusal_.empty()) GTEST_SKIP() << refusal_;
    body_();
  }
  std::string refusal_;
  std::function<void()> body_;
};

// To be called before RUN_ALL_TESTS. A refusal skips the test, visibly.
inline void register_test(const std::string& suite, const std::string& name,
                          const std::string& refusal, const std::function<void()>& body) {
  testing::RegisterTest(suite.c_str(), name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                        [=]() -> testing::Test* { return new FunctionTest(refusal, body); });
}

}  // namespace convmixer::test
