// SPDX-License-Identifier: Apache-2.0
// Who may use models and sessions at once: threads, processes, parallel regions, other models.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef _OPENMP  // ThreadSanitizer's build is without
#include <omp.h>
#endif

#include <algorithm>
#include <atomic>
#include <ostream>
#include <thread>

#include "tests/handles.h"

namespace convmixer::test {
namespace {

struct Choice {
  const char* name;  // for the test's name
  const char* isa;
  convmixer_onednn onednn;
};
void PrintTo(const Choice& choice, std::ostream* out) { *out << choice.name; }
const Choice kChoices[] = {{"portable", "portable", CONVMIXER_ONEDNN_OFF},
                           {"avx2", "avx2", CONVMIXER_ONEDNN_OFF},
                           {"avx512", "avx512", CONVMIXER_ONEDNN_OFF},
                           {"amx", "amx", CONVMIXER_ONEDNN_OFF},
                           {"onednn", nullptr, CONVMIXER_ONEDNN_ON}};

// Null where this build or CPU lacks it; the reason is in convmixer_last_error().
ModelHandle open_choice(const Choice& choice) {
  convmixer_model_options options = CONVMIXER_MODEL_OPTIONS_INIT;
  options.isa = choice.isa;
  options.onednn = choice.onednn;
  convmixer_model* model = nullptr;
  const convmixer_status status = convmixer_model_open(kBundledModel.c_str(), &options, &model);
  if (status == CONVMIXER_UNSUPPORTED) return nullptr;
  succeed(status);
  return ModelHandle(model);
}

class Sessions : public testing::TestWithParam<Choice> {
 protected:
  void SetUp() override {
    model_ = open_choice(GetParam());
    if (!model_) GTEST_SKIP() << convmixer_last_error();
    convmixer_model_info info = CONVMIXER_MODEL_INFO_INIT;
    succeed(convmixer_model_get_info(model_.get(), &info));
    ASSERT_STREQ(info.isa, GetParam().name);
    want_ = run(open_session(model_, 1), src_);
  }

  ModelHandle model_;
  const std::vector<std::uint8_t> src_ = noise(9);
  std::vector<float> want_;
};

TEST_P(Sessions, ChunksDoNotChangeBits) {
  for (int chunk = 1; chunk <= 9; ++chunk) {
    EXPECT_EQ(run(open_session(model_, 2, chunk), src_), want_) << "chunks of " << chunk;
  }
}

TEST_P(Sessions, ThreadsDoNotChangeBits) {
  for (const int threads : {2, 3, 4, 7}) {
    EXPECT_EQ(run(open_session(model_, threads), src_), want_) << threads << " threads";
    EXPECT_EQ(run(open_session(model_, threads, 4), src_), want_) << threads << " threads";
  }
}

TEST_P(Sessions, BatchesDoNotChangeBits) {
  const SessionHandle session = open_session(model_, 2);
  for (std::size_t n = 1; n <= 9; ++n) {
    for (std::size_t first = 0; first + n <= 9; first += n) {
      const auto begin = src_.begin() + static_cast<std::ptrdiff_t>(first * kImageBytes);
      const std::vector<float> got =
          run(session, {begin, begin + static_cast<std::ptrdiff_t>(n * kImageBytes)});
      EXPECT_TRUE(std::equal(got.begin(), got.end(),
                             want_.begin() + static_cast<std::ptrdiff_t>(first * kClasses)))
          << n << " images from " << first;
    }
  }
}

TEST_P(Sessions, TwoAtOnceOnOneModel) {
  std::atomic<int> wrong = 0;
  const auto work = [&](int threads) {
    const SessionHandle session = open_session(model_, threads, threads);
    for (int i = 0; i < 5; ++i) wrong += run(session, src_) != want_;
  };
  std::thread a(work, 1), b(work, 2), c(work, 3);
  a.join();
  b.join();
  c.join();
  EXPECT_EQ(wrong, 0);
}

#ifdef _OPENMP
TEST_P(Sessions, InsideAParallelRegion) {
  std::atomic<int> wrong = 0;
  const SessionHandle shared = open_session(model_, 2);
#pragma omp parallel num_threads(3)
  {
    const SessionHandle own = open_session(model_, 2);
    for (int i = 0; i < 3; ++i) wrong += run(own, src_) != want_;
#pragma omp critical
    wrong += run(shared, src_) != want_;  // made outside
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(run(shared, src_), want_);
}

TEST_P(Sessions, CallersNumberOfThreadsStays) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(7);
  run(open_session(model_, 2), src_);
  EXPECT_EQ(omp_get_max_threads(), 7);
  omp_set_num_threads(before);
}
#endif

#if defined(__SANITIZE_THREAD__)
constexpr bool kMayFork = false;  // ThreadSanitizer ends a child that starts threads
#else
constexpr bool kMayFork = true;
#endif

// A child keeps the locks of AddressSanitizer's allocator that another thread held (GCC 12), and
// where a child ran oneDNN, OpenMP's threads end some time after the run.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kMayForkAfterOpenmp = false;
#else
constexpr bool kMayForkAfterOpenmp = true;
#endif

// The exit status of a child that runs `body`, which is stopped after a while.
template <typename Body>
int status_of_child(const Body& body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    int code = 3;
    try {
      code = body() ? 0 : 1;
    } catch (...) {
    }
    _exit(code);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST_P(Sessions, ChildAfterFork) {
  if (!kMayFork) GTEST_SKIP() << "no fork() under ThreadSanitizer";
  const SessionHandle used = open_session(model_, 2), unused = open_session(model_, 2);
  EXPECT_EQ(run(used, src_), want_);
  const int status = status_of_child([&] {
    if (run(used, src_) != want_ || run(unused, src_) != want_) return false;
    if (run(open_session(model_, 3), src_) != want_) return false;
    if (GetParam().onednn == CONVMIXER_ONEDNN_ON && !kMayForkAfterOpenmp) return true;
    return status_of_child([&] { return run(used, src_) == want_; }) == 0;
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(run(used, src_), want_);  // the parent goes on
}

INSTANTIATE_TEST_SUITE_P(Variants, Sessions, testing::ValuesIn(kChoices),
                         [](const auto& choice) { return std::string(choice.param.name); });

TEST(SessionsOfTwoModels, DoNotDisturbEachOther) {
  std::vector<ModelHandle> models;
  for (const Choice& choice : kChoices) {
    if (ModelHandle model = open_choice(choice)) models.push_back(std::move(model));
  }
  if (models.size() < 2) GTEST_SKIP() << "only one variant can run: " << convmixer_last_error();
  const std::vector<std::uint8_t> src = noise(5);
  std::vector<std::vector<float>> want;
  std::vector<SessionHandle> sessions;
  for (const ModelHandle& model : models) {
    want.push_back(run(open_session(model, 1), src));
    sessions.push_back(open_session(model, 2));
  }
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < models.size(); ++i) EXPECT_EQ(run(sessions[i], src), want[i]);
  }
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < models.size(); ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 5; ++round) wrong += run(sessions[i], src) != want[i];
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Session, OutlivesItsModel) {
  ModelHandle model = open_model();
  const SessionHandle session = open_session(model, 2);
  const std::vector<float> want = run(session, noise(2));
  model.reset();
  EXPECT_EQ(run(session, noise(2)), want);
}

TEST(Session, SecondThreadIsToldThatItIsBusy) {
  const SessionHandle session = open_session(open_model(), 1);
  convmixer_status seen = CONVMIXER_OK;
  std::string text;
  for (std::size_t n = 64; seen == CONVMIXER_OK && n < 1u << 16; n *= 4) {
    std::atomic<bool> done = false;
    const std::vector<std::uint8_t> src = noise(n);
    std::thread first([&] {
      // The other may have its turn just now: then this one is busy, once.
      std::vector<float> logits(n * kClasses);
      while (convmixer_run_u8(session.get(), src.data(), n, logits.data(), nullptr) ==
             CONVMIXER_BUSY) {
      }
      done = true;
    });
    while (!done && seen == CONVMIXER_OK) {
      seen = convmixer_run_u8(session.get(), nullptr, 0, nullptr, nullptr);
      if (seen != CONVMIXER_OK) text = convmixer_last_error();
    }
    first.join();
  }
  EXPECT_EQ(seen, CONVMIXER_BUSY);
  EXPECT_NE(text.find("in use"), std::string::npos) << text;
  run(session, noise(1));  // free again
}

// Whether this process has asked Linux for the use of AMX's registers.
bool asked_for_amx() {
#if defined(__x86_64__) && defined(SYS_arch_prctl)
  constexpr long kGetPermission = 0x1022;  // ARCH_GET_XCOMP_PERM
  std::uint64_t mask = 0;
  return ::syscall(SYS_arch_prctl, kGetPermission, &mask) == 0 && (mask >> 18 & 1) != 0;
#else
  return false;
#endif
}

// In processes of their own, which begin anew.
TEST(Amx, IsAskedForWhereItMayRun) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const auto opened = [](const char* isa, convmixer_precision precision,
                         convmixer_strassen strassen = CONVMIXER_STRASSEN_AUTO,
                         int image_size = 0) {
    convmixer_model_options options = CONVMIXER_MODEL_OPTIONS_INIT;
    options.image_height = options.image_width = image_size;
    options.isa = isa;
    options.precision = precision;
    options.strassen = strassen;
    convmixer_model* model = nullptr;
    succeed(convmixer_model_open(kBundledModel.c_str(), &options, &model));
    const ModelHandle handle(model);
    return asked_for_amx();
  };
  for (const auto precision :
       {CONVMIXER_PRECISION_FP32, CONVMIXER_PRECISION_BF16, CONVMIXER_PRECISION_AUTO}) {
    EXPECT_EXIT(std::exit(opened("portable", precision) ? 1 : 0), testing::ExitedWithCode(0), "");
  }
  for (const auto precision : {CONVMIXER_PRECISION_FP32, CONVMIXER_PRECISION_AUTO}) {
    EXPECT_EXIT(
        {
          ::setenv("CONVMIXER_ISA", "avx512", 1);
          std::exit(opened(nullptr, precision) ? 1 : 0);
        },
        testing::ExitedWithCode(0), "");
  }
  for (const auto precision : {CONVMIXER_PRECISION_FP32, CONVMIXER_PRECISION_AUTO}) {
    EXPECT_EXIT(std::exit(opened(nullptr, precision, CONVMIXER_STRASSEN_ON) ? 1 : 0),
                testing::ExitedWithCode(0), "");
  }
  EXPECT_EXIT(
      std::exit(opened(nullptr, CONVMIXER_PRECISION_FP32, CONVMIXER_STRASSEN_AUTO, 28) ? 1 : 0),
      testing::ExitedWithCode(0), "");  // 49 pixels
  EXPECT_EXIT(
      {
        convmixer_calibration* made = nullptr;
        succeed(convmixer_calibration_create(kBundledModel.c_str(), nullptr, 1, &made));
        convmixer_calibration_destroy(made);
        std::exit(asked_for_amx() ? 1 : 0);
      },
      testing::ExitedWithCode(0), "");
  EXPECT_EXIT(
      {
        const bool asked = opened(nullptr, CONVMIXER_PRECISION_FP32);
        std::vector<char> text(1 << 16);
        convmixer_system_describe(text.data(), text.size(), nullptr);
        const bool has =
            std::string(text.data()).find("variant amx: available") != std::string::npos;
        std::exit(asked == has ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST(LastError, BelongsToItsThread) {
  ASSERT_EQ(convmixer_run_u8(nullptr, nullptr, 0, nullptr, nullptr), CONVMIXER_INVALID_ARGUMENT);
  const std::string mine = convmixer_last_error();
  std::string at_first, later;
  std::thread([&] {
    at_first = convmixer_last_error();
    convmixer_model_open("/nowhere/at.all", nullptr, nullptr);
    later = convmixer_last_error();
  }).join();
  EXPECT_EQ(at_first, "");
  EXPECT_NE(later, mine);
  EXPECT_EQ(convmixer_last_error(), mine);
}

TEST(LastError, StaysWhenACallSucceeds) {
  ASSERT_EQ(convmixer_run_u8(nullptr, nullptr, 0, nullptr, nullptr), CONVMIXER_INVALID_ARGUMENT);
  const std::string before = convmixer_last_error();
  open_model();
  EXPECT_EQ(convmixer_last_error(), before);
}

TEST(LastError, IsUtf8ForAnyPath) {
  convmixer_model* model = nullptr;
  ASSERT_EQ(convmixer_model_open("/nowhere/\xff\xc3\xa9\xed\xa0\x80", nullptr, &model),
            CONVMIXER_IO_ERROR);
  EXPECT_NE(std::string(convmixer_last_error()).find("/nowhere/?\xc3\xa9???"), std::string::npos)
      << convmixer_last_error();
}

}  // namespace
}  // namespace convmixer::test
