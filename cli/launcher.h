// SPDX-License-Identifier: Apache-2.0
// What started this process: an mpirun, which says so in the environment, or something else.
#pragma once

namespace convmixer::cli {

// How many processes an mpirun started with this one; 0 where none did. Open MPI's and MPICH's are
// known.
int launched_ranks();

// The terminal that stderr leads to, open as long as the process lives, or −1. Under mpirun stderr
// is a pipe, and the terminal mpirun's, where that runs on this machine.
int stderr_terminal();

}  // namespace convmixer::cli
