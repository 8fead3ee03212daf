// SPDX-License-Identifier: Apache-2.0
// The processes that share an evaluation: those of `mpirun -n N convmixer eval`, or this one alone.
#pragma once

#include <string>
#include <vector>

namespace convmixer::cli {

// Linked in two forms. The ordinary command's, ranks_alone.cpp, is of one process; where mpirun has
// started more it hands over to convmixer-mpi beside it, which is the same command linked with
// ranks_mpi.cpp. So neither the ordinary command nor the library loads MPI.
//
// All ranks call gather() and broadcast() in the same order, from one thread. The first rank speaks
// for all: whatever fails there ends its process, and mpirun then ends the others, as it does where
// any process ends before finish().
class Ranks {
 public:
  Ranks();  // throws Failure
  ~Ranks();
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool leads() const { return rank_ == 0; }
  // How many ranks may run on CPUs that this one may run on, itself included.
  int sharing_cpus() const { return sharing_cpus_; }
  const std::string& machine() const { return machine_; }

  // At the first rank everybody's text, in the order of ranks; at the others none. At most 2 GiB.
  std::vector<std::string> gather(const std::string& text);
  // The first rank's, at all of them.
  std::string broadcast(const std::string& text);
  // From here on no rank needs another.
  void finish() { finished_ = true; }

 private:
  int rank_ = 0, size_ = 1, sharing_cpus_ = 1;
  std::string machine_;
  bool finished_ = false;
};

}  // namespace convmixer::cli
