// SPDX-License-Identifier: Apache-2.0
// convmixer-mpi: the only file that includes mpi.h. An error of MPI's ends the job, as is MPI's
// default.
#include <fmt/format.h>
#define OMPI_SKIP_MPICXX  // the C interface only
#define MPICH_SKIP_MPICXX
#include <mpi.h>
#include <sched.h>
#include <unistd.h>

#include <cstdint>

#include "cli/handles.h"
#include "cli/launcher.h"
#include "cli/ranks.h"

namespace convmixer::cli {
namespace {

constexpr int kTag = 0;
constexpr useconds_t kNap = 200;  // µs; a round of an evaluation takes half a second

// MPI's own waiting keeps a CPU busy, and that may be the one another rank works on.
void wait(MPI_Request request) {
  for (int done = 0;;) {
    MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    if (done != 0) return;
    ::usleep(kNap);
  }
}

std::string receive(int rank) {
  MPI_Status status;
  for (int here = 0;;) {
    MPI_Iprobe(rank, kTag, MPI_COMM_WORLD, &here, &status);
    if (here != 0) break;
    ::usleep(kNap);
  }
  int size = 0;
  MPI_Get_count(&status, MPI_BYTE, &size);
  std::string text(static_cast<std::size_t>(size), '\0');
  MPI_Recv(text.data(), size, MPI_BYTE, rank, kTag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  return text;
}

// mpirun binds each process to CPUs of its own unless it is told not to, or has too few.
int count_sharing_cpus() {
  MPI_Comm here;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here);
  int size = 0;
  MPI_Comm_size(here, &size);
  cpu_set_t mine;
  CPU_ZERO(&mine);
  // It fails on more CPUs than the set holds (1,024): then any may be shared.
  if (::sched_getaffinity(0, sizeof mine, &mine) != 0) {
    for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) CPU_SET(cpu, &mine);
  }
  std::vector<cpu_set_t> all(static_cast<std::size_t>(size));
  MPI_Allgather(&mine, sizeof mine, MPI_BYTE, all.data(), sizeof mine, MPI_BYTE, here);
  MPI_Comm_free(&here);
  int sharing = 0;
  for (const cpu_set_t& other : all) {
    cpu_set_t both;
    CPU_AND(&both, &mine, &other);
    sharing += CPU_COUNT(&both) > 0 ? 1 : 0;
  }
  return sharing;
}

}  // namespace

Ranks::Ranks() {
  int provided = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  if (const int launched = launched_ranks(); launched > 1 && launched != size_) {
    throw Failure(kFailed, fmt::format("mpirun has started {} processes, of which MPI finds {}: it "
                                       "is another MPI's than convmixer-mpi was built with",
                                       launched, size_));
  }
  char name[MPI_MAX_PROCESSOR_NAME];
  int length = 0;
  MPI_Get_processor_name(name, &length);
  machine_.assign(name, static_cast<std::size_t>(length));
  sharing_cpus_ = count_sharing_cpus();
}

Ranks::~Ranks() {
  if (finished_) MPI_Finalize();
}

std::vector<std::string> Ranks::gather(const std::string& text) {
  std::vector<std::string> all;
  if (!leads()) {
    MPI_Request request;
    MPI_Isend(text.data(), static_cast<int>(text.size()), MPI_BYTE, 0, kTag, MPI_COMM_WORLD,
              &request);
    wait(request);
    return all;
  }
  all.push_back(text);
  for (int rank = 1; rank < size_; ++rank) all.push_back(receive(rank));
  return all;
}

std::string Ranks::broadcast(const std::string& text) {
  std::uint64_t size = text.size();
  MPI_Request request;
  MPI_Ibcast(&size, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD, &request);
  wait(request);
  std::string result = text;
  result.resize(size);
  MPI_Ibcast(result.data(), static_cast<int>(size), MPI_BYTE, 0, MPI_COMM_WORLD, &request);
  wait(request);
  return result;
}

}  // namespace convmixer::cli
