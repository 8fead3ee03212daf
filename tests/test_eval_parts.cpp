// SPDX-License-Identifier: Apache-2.0
// What convmixer eval counts with: scores, tallies, CSV, and what its processes send each other.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>

#include "cli/csv.h"
#include "cli/eval_part.h"
#include "cli/handles.h"
#include "cli/tally.h"

namespace convmixer::cli {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(Scorer, RanksAndGivesTheLoss) {
  Scorer scorer(4);
  const float logits[] = {1, 3, -2, 2};
  const double sum = std::exp(-2.0) + 1 + std::exp(-5.0) + std::exp(-1.0);
  const int ranks[] = {3, 1, 4, 2};
  for (int label = 0; label < 4; ++label) {
    const Outcome o = scorer.score(logits, label);
    EXPECT_EQ(o.label, label);
    EXPECT_EQ(o.predicted, 1);
    EXPECT_EQ(o.rank, ranks[label]);
    EXPECT_EQ(o.probability, static_cast<float>(1 / sum));
    EXPECT_NEAR(o.loss, std::log(sum) + 3 - static_cast<double>(logits[label]), 1e-15);
  }
}

TEST(Scorer, DoesNotOverflow) {
  Scorer scorer(2);
  const float logits[] = {1e30f, -1e30f};
  EXPECT_EQ(scorer.score(logits, 0).loss, 0);
  EXPECT_EQ(scorer.score(logits, 1).loss, 2 * double{1e30f});
}

TEST(Scorer, EqualProbabilitiesRankByIndex) {
  Scorer scorer(5);
  const float logits[] = {1, 2, 0, 2, 1};
  const int ranks[] = {3, 1, 5, 2, 4};
  for (int label = 0; label < 5; ++label) EXPECT_EQ(scorer.score(logits, label).rank, ranks[label]);
  // Other logits, but both probabilities are 0 in float.
  const float far[] = {-300, 0, -200, 0, 0};
  EXPECT_EQ(scorer.score(far, 0).rank, 4);
  EXPECT_EQ(scorer.score(far, 2).rank, 5);
}

TEST(Scorer, NanRanksLast) {
  Scorer scorer(4);
  const float logits[] = {kNan, 1, 2, kNan};
  const int ranks[] = {3, 2, 1, 4};
  for (int label = 0; label < 4; ++label) {
    const Outcome o = scorer.score(logits, label);
    EXPECT_EQ(o.predicted, 2);
    EXPECT_EQ(o.rank, ranks[label]);
    EXPECT_TRUE(std::isnan(o.loss));
  }
  const float infinite[] = {0, kInfinity, 1, 0};
  EXPECT_EQ(scorer.score(infinite, 1).rank, 1);
  const float impossible[] = {0, -kInfinity, 0, 0};
  EXPECT_EQ(scorer.score(impossible, 1).loss, std::numeric_limits<double>::infinity());
}

std::vector<Outcome> random_outcomes(std::size_t n) {
  std::mt19937 random(3);
  std::vector<Outcome> outcomes(n);
  for (Outcome& o : outcomes) {
    o.label = static_cast<std::int32_t>(random() % 7);
    o.predicted = random() % 2 == 0 ? o.label : static_cast<std::int32_t>(random() % 7);
    o.rank = o.predicted == o.label ? 1 : 2 + static_cast<std::int32_t>(random() % 6);
    o.loss = std::ldexp(static_cast<double>(random()), -static_cast<int>(random() % 64));
  }
  return outcomes;
}

TEST(Tally, KeepsTheWorstMistakesInOrder) {
  const std::vector<Outcome> outcomes = random_outcomes(500);
  Tally tally(7, {1});
  std::vector<std::pair<double, std::size_t>> wrong;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    tally.add(i, outcomes[i]);
    if (outcomes[i].rank > 1) wrong.emplace_back(-outcomes[i].loss, i);
  }
  std::sort(wrong.begin(), wrong.end());
  ASSERT_EQ(tally.mistakes().size(), Tally::kMistakes);
  for (std::size_t i = 0; i < Tally::kMistakes; ++i) {
    EXPECT_EQ(tally.mistakes()[i].index, wrong[i].second);
  }
}

TEST(Tally, EqualMistakesStayInTheListsOrder) {
  Tally tally(2, {1});
  Outcome o;
  o.rank = 2;
  o.loss = 1;
  for (std::size_t i = 0; i < 2 * Tally::kMistakes; ++i) tally.add(i, o);
  ASSERT_EQ(tally.mistakes().size(), Tally::kMistakes);
  for (std::size_t i = 0; i < Tally::kMistakes; ++i) EXPECT_EQ(tally.mistakes()[i].index, i);
}

TEST(Tally, NamesTheMostConfused) {
  Tally tally(3, {1});
  Outcome o;
  o.rank = 2;
  for (const auto& [label, predicted, images] : {std::array{2, 0, 3}, {0, 1, 1}, {1, 2, 3}}) {
    o.label = label;
    o.predicted = predicted;
    for (int i = 0; i < images; ++i) tally.add(0, o);
  }
  const std::vector<Confusion> most = most_confused(tally, 2);
  ASSERT_EQ(most.size(), 2u);
  EXPECT_EQ(most[0].label, 1);  // as many as the next: by class
  EXPECT_EQ(most[0].images, 3u);
  EXPECT_EQ(most[1].label, 2);
  EXPECT_EQ(most[1].predicted, 0);
}

TEST(Csv, QuotesWhatRfc4180Names) {
  EXPECT_EQ(csv_field("a b"), "a b");
  for (const char* text : {"a,b", "a\rb", "a\nb"}) {
    EXPECT_EQ(csv_field(text), "\"" + std::string(text) + "\"");
  }
  EXPECT_EQ(csv_field("a\"b"), "\"a\"\"b\"");
}

TEST(Csv, ReadsWhatItWrites) {
  const std::vector<std::string> fields = {
      "plain", "", "a,b", "say \"x\"", "\"", "two\nlines", "\"\"", " sp ", std::string(70000, 'y'),
      "é"};
  std::FILE* const file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  std::string row;
  for (const std::string& field : fields) row += (row.empty() ? "" : ",") + csv_field(field);
  const std::string text = "# a line, as it is\n" + row + "\n" + row + "\n" + row;
  ASSERT_EQ(std::fwrite(text.data(), 1, text.size(), file), text.size());
  std::fflush(file);
  CsvReader reader(::fileno(file), 0);
  std::string line;
  ASSERT_TRUE(reader.read_line(line));
  EXPECT_EQ(line, "# a line, as it is");
  std::vector<std::string> read;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(reader.read_row(read));
    EXPECT_EQ(read, fields);
  }
  const std::uint64_t end = reader.offset();
  EXPECT_FALSE(reader.read_row(read)) << "it has no end of line";
  EXPECT_EQ(reader.offset(), end);
  EXPECT_EQ(end, text.size() - row.size());
  std::fclose(file);
}

std::uint64_t bits_of(double value) { return std::bit_cast<std::uint64_t>(value); }

EvalPart some_part() {
  EvalPart part;
  for (const Outcome& o : random_outcomes(20)) {
    Prediction& row = part.rows.emplace_back();
    row.outcome = o;
    row.status = "ok";
  }
  part.rows[1].outcome.loss = -std::numeric_limits<double>::quiet_NaN();
  part.rows[2].outcome.loss = -0.0;
  part.rows[3].outcome.probability = 0.1f;
  part.rows[7].status = "format_error";
  part.rows[7].error = "a sentence, with \"quotes\"";
  part.seconds = 0.25;
  return part;
}

TEST(EvalPart, ArrivesAsItWasSent) {
  EvalPart want = some_part();
  for (const char* stop : {"", "the disk is full"}) {
    want.stop = stop;
    const EvalPart got = unpack(pack(want));
    EXPECT_EQ(got.stop, want.stop);
    EXPECT_EQ(got.seconds, want.seconds);
    ASSERT_EQ(got.rows.size(), want.rows.size());
    for (std::size_t i = 0; i < want.rows.size(); ++i) {
      EXPECT_EQ(got.rows[i].status, want.rows[i].status);
      EXPECT_EQ(got.rows[i].error, want.rows[i].error);
      EXPECT_EQ(got.rows[i].outcome.label, want.rows[i].outcome.label);
      EXPECT_EQ(got.rows[i].outcome.predicted, want.rows[i].outcome.predicted);
      EXPECT_EQ(got.rows[i].outcome.rank, want.rows[i].outcome.rank);
      EXPECT_EQ(got.rows[i].outcome.probability, want.rows[i].outcome.probability);
      EXPECT_EQ(bits_of(got.rows[i].outcome.loss), bits_of(want.rows[i].outcome.loss));
    }
  }
}

// Cut between two rows it is whole, of fewer images, which Evaluation counts.
TEST(EvalPart, RefusesWhatIsCut) {
  const std::string bytes = pack(some_part());
  std::size_t refused = 0;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    try {
      EXPECT_LT(unpack(bytes.substr(0, size)).rows.size(), 20u);
    } catch (const Failure&) {
      ++refused;
    }
  }
  EXPECT_EQ(refused, bytes.size() - 20);
}

}  // namespace
}  // namespace convmixer::cli
