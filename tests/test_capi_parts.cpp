// SPDX-License-Identifier: Apache-2.0
// The parts of capi/ that convmixer.h does not show: ranking and error texts.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "capi/failure.h"
#include "capi/pipeline.h"
#include "support/error.h"

namespace convmixer {
namespace {

TEST(Ranking, VanishingProbabilitiesAreEqual) {
  const float logits[] = {0, -300, 1000, -200};
  convmixer_prediction best[4];
  Ranking(4).best(logits, 4, best);
  const std::int32_t want[] = {2, 0, 1, 3};
  for (int k = 0; k < 4; ++k) {
    EXPECT_EQ(best[k].index, want[k]);
    EXPECT_EQ(best[k].probability, k == 0 ? 1.0f : 0.0f);
    EXPECT_EQ(best[k].logit, logits[want[k]]);
  }
}

TEST(Ranking, Infinities) {
  const float inf = std::numeric_limits<float>::infinity();
  const float low[] = {-inf, 1, -inf, 1};
  const float high[] = {0, inf, 1};
  convmixer_prediction best[4];
  Ranking(4).best(low, 4, best);
  EXPECT_EQ(best[0].index, 1);
  EXPECT_EQ(best[1].index, 3);
  EXPECT_EQ(best[1].probability, 0.5f);
  EXPECT_EQ(best[2].index, 0);
  Ranking(3).best(high, 3, best);
  EXPECT_EQ(best[0].index, 1);
  EXPECT_EQ(best[1].index, 2);
  EXPECT_TRUE(std::isnan(best[0].probability));
}

std::string copied(const char* src, std::size_t capacity) {
  std::vector<char> dst(capacity + 1, '#');
  copy_utf8(src, dst.data(), capacity);
  EXPECT_EQ(dst[capacity], '#') << "written beyond the capacity";
  return dst.data();
}

TEST(CopyUtf8, KeepsCharactersWhole) {
  const char* const text = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xb1";  // 1 + 2 + 3 + 4 bytes
  const std::size_t want[] = {0, 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
  for (std::size_t capacity = 1; capacity <= 12; ++capacity) {
    EXPECT_EQ(copied(text, capacity), std::string(text, want[capacity]));
  }
}

TEST(CopyUtf8, ReplacesWhatIsNoCharacter) {
  EXPECT_EQ(
      copied("\x80|\xc0\x80|\xc3|\xe0\x80\x80|\xf5\x80\x80\x80|\xf4\x90\x80\x80|\xe2\x82", 99),
      "?|??|?|???|????|????|??");
  EXPECT_EQ(copied("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", 99),
            "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf");
}

template <typename Exception>
convmixer_status status_of(const Exception& exception, std::string& text) {
  char buffer[64] = "";
  try {
    throw exception;
  } catch (...) {
    const convmixer_status status = current_failure(buffer, sizeof(buffer));
    text = buffer;
    return status;
  }
}

TEST(CurrentFailure, KnowsEveryKindOfException) {
  std::string text;
  EXPECT_EQ(status_of(Error(Code::kLimit, "too large"), text), CONVMIXER_LIMIT_EXCEEDED);
  EXPECT_EQ(text, "too large");
  EXPECT_EQ(status_of(std::bad_alloc(), text), CONVMIXER_OUT_OF_MEMORY);
  EXPECT_EQ(text, "Out of memory.");
  EXPECT_EQ(status_of(std::length_error("vector"), text), CONVMIXER_OUT_OF_MEMORY);
  EXPECT_EQ(status_of(std::system_error(std::make_error_code(std::errc::io_error)), text),
            CONVMIXER_IO_ERROR);
  EXPECT_EQ(status_of(std::runtime_error("surprise"), text), CONVMIXER_INTERNAL_ERROR);
  EXPECT_EQ(text, "surprise");
  EXPECT_EQ(status_of(7, text), CONVMIXER_INTERNAL_ERROR);
  EXPECT_FALSE(text.empty());
}

}  // namespace
}  // namespace convmixer
