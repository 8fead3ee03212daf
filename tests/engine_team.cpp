// SPDX-License-Identifier: Apache-2.0
// Threads that share tasks: each is run once, by whoever has time, and nobody waits unasked.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <iterator>
#include <vector>

#include "engine/team.h"

namespace convmixer::test {
namespace {

TEST(Team, RunsEachTaskOnceInEachCall) {
  for (const int threads : {1, 2, 3, 8}) {
    SCOPED_TRACE(threads);
    constexpr int kCounts[] = {1, 7, 0, 64, 2, 5, 100, 3};
    constexpr int kRounds = 50;
    Team team(threads);
    for (int run = 0; run < 3; ++run) {
      std::vector<std::vector<std::atomic<int>>> times;
      for (const int count : kCounts) times.emplace_back(static_cast<std::size_t>(count));
      std::atomic<bool> once{true};
      team.run([&](int member) {
        for (int round = 0; round < kRounds; ++round) {
          for (std::vector<std::atomic<int>>& of_call : times) {
            const auto add = [&](int i) { ++of_call[static_cast<std::size_t>(i)]; };
            const int count = static_cast<int>(of_call.size());
            if (round % 2 == 0) {
              team.take_tasks(member, count, add);
            } else {
              team.run_tasks(member, count, add);
              for (const std::atomic<int>& n : of_call) once = once && n == round + 1;
              team.wait();  // until all have looked
            }
          }
        }
      });
      EXPECT_TRUE(once);
      for (const std::vector<std::atomic<int>>& of_call : times) {
        for (const std::atomic<int>& n : of_call) EXPECT_EQ(n, kRounds);
      }
    }
  }
}

// Thread 0 is held in its first task until all others of this call and of the next are done, of
// which some were its own share.
TEST(Team, TakesWhatOthersLeaveAndGoesOn) {
  constexpr int kTasks = 10;
  Team team(2);
  std::atomic<int> holding{0}, done{0};
  int by_other = 0;
  team.run([&](int member) {
    bool held = member != 0;
    if (held) wait_for_count(holding, 1);
    for (int call = 0; call < 2; ++call) {
      team.take_tasks(member, kTasks, [&](int) {
        if (!held) {
          held = true;
          add_to_count(holding, 1);
          wait_for_count(done, 2 * kTasks - 1);
          return;
        }
        if (member == 1) ++by_other;
        add_to_count(done, 1);
      });
    }
  });
  EXPECT_EQ(done, 2 * kTasks - 1);
  EXPECT_EQ(by_other, 2 * kTasks - 1);
}

// Nobody goes on before all have begun, so that each begins with its own share.
TEST(Team, NeighboursBeginBesideEachOtherOrEndThere) {
  constexpr int kThreads = 4;
  Team team(kThreads);
  std::atomic<int> begun{0};
  int first[kThreads] = {};
  team.run([&](int member) {
    bool is_first = true;
    team.take_tasks(member, 12, [&](int i) {
      if (!is_first) return;
      is_first = false;
      first[member] = i;
      add_to_count(begun, 1);
      wait_for_count(begun, kThreads);
    });
  });
  const int expected[] = {0, 5, 6, 11};
  EXPECT_TRUE(std::equal(std::begin(first), std::end(first), std::begin(expected)));
}

// As a run's blocks do: from what the call before has made of a task's neighbours, between two
// rows of values by turns.
TEST(Team, TasksFollowThoseTheyWaitFor) {
  constexpr int kTasks = 9, kCalls = 300;
  const auto blend = [](const std::vector<int>& v, int i) {
    const auto at = static_cast<std::size_t>(i);
    return ((i > 0 ? v[at - 1] : 1) + 3 * v[at] + (i + 1 < kTasks ? 5 * v[at + 1] : 2)) % 10007;
  };
  std::vector<int> values[2] = {std::vector<int>(kTasks, 1), std::vector<int>(kTasks, 1)};
  std::vector<int> expected = values[0];
  for (int call = 0; call < kCalls; ++call) {
    const std::vector<int> before = expected;
    for (int i = 0; i < kTasks; ++i) expected[static_cast<std::size_t>(i)] = blend(before, i);
  }
  Team team(4);
  std::vector<std::atomic<int>> made(kTasks);
  team.run([&](int member) {
    for (int call = 0; call < kCalls; ++call) {
      team.take_tasks(member, kTasks, [&](int i) {
        for (int near = std::max(0, i - 1); near < std::min(kTasks, i + 2); ++near) {
          wait_for_count(made[static_cast<std::size_t>(near)], call);
        }
        const auto at = static_cast<std::size_t>(i);
        values[1 - call % 2][at] = blend(values[call % 2], i);
        add_to_count(made[at], 1);
      });
    }
  });
  EXPECT_EQ(values[kCalls % 2], expected);
}

TEST(Team, AllHaveEndedBehindRunTasksAndWait) {
  constexpr int kThreads = 3;
  Team team(kThreads);
  std::atomic<int> ended{0}, arrived{0};
  std::atomic<bool> early{false};
  team.run([&](int member) {
    for (int round = 1; round <= 100; ++round) {
      team.run_tasks(member, 5, [&](int) { ++ended; });
      if (ended < 5 * round) early = true;
      ++arrived;
      team.wait();
      if (arrived < kThreads * round) early = true;
      team.wait();
    }
  });
  EXPECT_FALSE(early);
  EXPECT_EQ(ended, 500);
}

}  // namespace
}  // namespace convmixer::test
