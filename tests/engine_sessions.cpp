// SPDX-License-Identifier: Apache-2.0
// An image's logits are the same bits alone and in any batch, for any number of threads and any
// size of chunk, beside other sessions, inside a caller's parallel region and after fork(). Runs do
// not allocate.
#include <fmt/format.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "tests/count_allocations.h"
#include "tests/engine_tests.h"
#include "tests/register_test.h"

namespace convmixer::test {
namespace {

struct SessionCase {
  ModelShape shape;
  Graph graph;
  Images images;

  SessionCase(const ModelShape& s, int n, Random random = Random(31))
      : shape(s), graph(random_graph(s, random)), images(s, n, random) {}
  const std::uint8_t* image(int i) const {
    return images.bytes.data() + static_cast<std::size_t>(i) * shape.image_floats();
  }
  const float* float_image(int i) const {
    return images.floats.data() + static_cast<std::size_t>(i) * shape.image_floats();
  }
};

// Enough pixels for several strips, an odd number of channel blocks.
constexpr ModelShape kModel{70, 2, 5, 3, 46, 40};
// Kernels whose rows are made in pairs; rows of more pixels than half a strip has.
constexpr ModelShape kPairs{70, 2, 9, 3, 46, 40}, kRowStrips{20, 2, 7, 1, 5, 70};
// A single pixel a layer: with several threads, the output channels are split.
constexpr ModelShape kOnePixel{200, 3, 3, 4, 7, 6};

Run append(Run all, const Run& one) {
  all.logits.insert(all.logits.end(), one.logits.begin(), one.logits.end());
  all.features.insert(all.features.end(), one.features.begin(), one.features.end());
  return all;
}

// Images one at a time, on one thread.
template <typename T>
Run alone(const std::shared_ptr<const Plan>& plan, const T* src, std::size_t image_size, int n) {
  Run all;
  for (int i = 0; i < n; ++i)
    all = append(all, run(plan, 1, 1, src + static_cast<std::size_t>(i) * image_size, 1));
  return all;
}

Run part(const Run& all, int first, int n, int total) {
  const auto cut = [&](const std::vector<float>& v) {
    const auto row = static_cast<std::ptrdiff_t>(v.size()) / total;
    return std::vector<float>(v.begin() + first * row, v.begin() + (first + n) * row);
  };
  return {cut(all.logits), cut(all.features)};
}

void check_batches(const EngineVariant& variant, const ModelShape& shape) {
  constexpr int kImages = 9;
  const SessionCase c(shape, kImages);
  const auto plan = plan_for(variant, c.graph);
  const Run floats = alone(plan, c.float_image(0), shape.image_floats(), kImages);
  const Run bytes = alone(plan, c.image(0), shape.image_floats(), kImages);
  const auto check = [&](int n, int threads, int chunk_size) {
    SCOPED_TRACE(fmt::format("batch {}, {} threads, chunk {}", n, threads, chunk_size));
    const int first = kImages - n;
    EXPECT_TRUE(same_runs(part(floats, first, n, kImages),
                          run(plan, threads, chunk_size, c.float_image(first), n)));
    EXPECT_TRUE(same_runs(part(bytes, first, n, kImages),
                          run(plan, threads, chunk_size, c.image(first), n)));
  };
  for (int n = 0; n <= kImages; ++n) check(n, 1, n % 4 == 3 ? 2 : 0);
  for (const int chunk_size : {0, 1, 2, 3, 9}) check(7, 2, chunk_size);
}

void check_threads(const EngineVariant& variant, const ModelShape& shape) {
  const SessionCase c(shape, 3);
  const auto plan = plan_for(variant, c.graph);
  const Run want = run(plan, 1, 1, c.image(0), 3);
  for (const int threads : {1, 2, 3, 5, 8, 61}) {
    for (const int chunk_size : {0, 2}) {
      SCOPED_TRACE(fmt::format("{} threads, chunk {}", threads, chunk_size));
      ASSERT_TRUE(same_runs(want, run(plan, threads, chunk_size, c.image(0), 3)));
    }
  }
}

// A session that has run other images gives the bits of a fresh one; features may be left out.
void check_reuse(const EngineVariant& variant) {
  const SessionCase c(kModel, 5);
  const auto plan = plan_for(variant, c.graph);
  const Run want = run(plan, 2, 3, c.image(0), 5);
  Session session(plan, 2, 3);
  EXPECT_EQ(session.threads(), 2);
  EXPECT_EQ(session.chunk_size(), 3);
  EXPECT_GT(session.arena_bytes(), 0u);
  Run got = want;
  session.run(c.image(2), 3, got.logits.data(), nullptr);
  session.run(c.float_image(0), 2, got.logits.data(), got.features.data());
  std::fill(got.features.begin(), got.features.end(), 0.0f);
  session.run(c.image(0), 5, got.logits.data(), nullptr);
  EXPECT_TRUE(same_bits(want.logits.data(), got.logits.data(), want.logits.size()));
  EXPECT_EQ(std::count(got.features.begin(), got.features.end(), 0.0f), 5 * kModel.dim);
  session.run(c.image(0), 5, got.logits.data(), got.features.data());
  EXPECT_TRUE(same_runs(want, got));
}

#ifdef _OPENMP
void check_parallel_region(const EngineVariant& variant) {
  const SessionCase c(kModel, 4);
  const auto plan = plan_for(variant, c.graph);
  const Run want = run(plan, 2, 2, c.image(0), 4);
  Run inside[4];
#pragma omp parallel for num_threads(2)
  for (int i = 0; i < 4; ++i) inside[i] = run(plan, 2, 2, c.image(0), 4);
  for (const Run& r : inside) EXPECT_TRUE(same_runs(want, r));
  // And the other way about: the caller's own setting is as it was.
  omp_set_num_threads(7);
  run(plan, 2, 2, c.image(0), 4);
  EXPECT_EQ(omp_get_max_threads(), 7);
  omp_set_num_threads(omp_get_num_procs());
}
#endif

// Two threads with sessions of different sizes on one model, again and again.
void check_two_sessions(const EngineVariant& variant) {
  const SessionCase c(kModel, 3);
  const auto plan = plan_for(variant, c.graph);
  const Run want = run(plan, 1, 1, c.image(0), 3);
  std::vector<Run> got(2);
  int wrong[2] = {};
  std::vector<std::thread> callers;
  for (int t = 0; t < 2; ++t) {
    callers.emplace_back([&, t] {
      for (int i = 0; i < 8; ++i) {
        got[static_cast<std::size_t>(t)] = run(plan, 1 + 2 * t, t, c.image(0), 3);
        wrong[t] += same_runs(want, got[static_cast<std::size_t>(t)]) ? 0 : 1;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong[0], 0);
  EXPECT_EQ(wrong[1], 0);
}

// A model of this variant beside one of every other.
void check_beside_other_variants(const EngineVariant& variant) {
  const SessionCase c(kModel, 2);
  for (const EngineVariant& other : engine_variants()) {
    if (!other.refusal.empty()) continue;
    SCOPED_TRACE(other.name);
    const auto plan = plan_for(variant, c.graph), other_plan = plan_for(other, c.graph);
    const Run want = run(plan, 1, 1, c.image(0), 2),
              other_want = run(other_plan, 1, 1, c.image(0), 2);
    int other_wrong = 0;
    std::thread caller([&] {
      for (int i = 0; i < 6; ++i) {
        other_wrong += same_runs(other_want, run(other_plan, 2, 0, c.image(0), 2)) ? 0 : 1;
      }
    });
    for (int i = 0; i < 6; ++i) EXPECT_TRUE(same_runs(want, run(plan, 2, 0, c.image(0), 2)));
    caller.join();
    EXPECT_EQ(other_wrong, 0);
  }
}

#ifndef __SANITIZE_THREAD__  // which does not allow threads after fork()
void check_fork(const EngineVariant& variant) {
  const SessionCase c(kModel, 3);
  const auto plan = plan_for(variant, c.graph);
  Session session(plan, 2, 0);
  Run want = run(plan, 2, 0, c.image(0), 3);
  session.run(c.image(0), 3, want.logits.data(), want.features.data());
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::alarm(30);  // a hang ends the child
    Run got = want;
    std::fill(got.logits.begin(), got.logits.end(), 0.0f);
    bool same = true;
    for (int i = 0; i < 2; ++i) {
      session.run(c.image(0), 3, got.logits.data(), got.features.data());
      same = same && same_runs(want, got);
    }
    same = same && same_runs(want, run(plan, 3, 1, c.image(0), 3));
    ::_exit(same ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "ended by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  Run again = want;
  session.run(c.image(0), 3, again.logits.data(), again.features.data());
  EXPECT_TRUE(same_runs(want, again));
}
#endif

void check_allocations(const EngineVariant& variant) {
  if (!can_count_allocations()) GTEST_SKIP() << "a sanitizer has its own malloc";
  const SessionCase c(kModel, 7);
  const auto plan = plan_for(variant, c.graph);
  Run got = run(plan, 2, 2, c.image(0), 7);
  Session session(plan, 2, 2);
  session.run(c.image(0), 7, got.logits.data(), got.features.data());  // OpenMP makes its threads
  for (const int n : {0, 1, 2, 7}) {
    const long before = allocations();
    session.run(c.image(0), static_cast<std::size_t>(n), got.logits.data(), got.features.data());
    session.run(c.float_image(0), static_cast<std::size_t>(n), got.logits.data(), nullptr);
    EXPECT_EQ(allocations() - before, 0) << "batch " << n;
  }
}

}  // namespace

void add_session_tests(const EngineVariant& variant) {
  const auto add = [&](const char* op, const std::string& name, std::function<void()> body) {
    register_test(std::string(op) + "/" + variant.name, name, "", std::move(body));
  };
  for (const ModelShape& shape : {kModel, kPairs, kRowStrips, kOnePixel}) {
    add("batches", shape.text(), [=] { check_batches(variant, shape); });
    add("threads", shape.text(), [=] { check_threads(variant, shape); });
  }
  add("session", "reuse", [=] { check_reuse(variant); });
#ifdef _OPENMP
  add("session", "in_a_parallel_region", [=] { check_parallel_region(variant); });
#endif
  add("session", "two_at_once", [=] { check_two_sessions(variant); });
  add("session", "beside_other_variants", [=] { check_beside_other_variants(variant); });
#ifndef __SANITIZE_THREAD__
  add("session", "after_fork", [=] { check_fork(variant); });
#endif
  // oneDNN's own calls allocate.
  if (variant.name != "onednn")
    add("session", "no_allocation", [=] { check_allocations(variant); });
}

}  // namespace convmixer::test
