// SPDX-License-Identifier: Apache-2.0
// What started this process: an mpirun, which says so in the environment, or something else.
#pragma once

namespace convmixer::cli {

// How many processes an mpirun started with this one; 0 where none did. Open MPI's and MPICH's are
// known.
int launched_ranks();

// Whether stderr is a terminal. Under mpirun it is a pipe, unless somebody redirects it: if mpirun
// runs on this machine and its own stderr is a terminal, the process's becomes that, since what
// forwards the pipe is made for whole lines (Open MPI 5.0.7 sends parts of them to stdout).
bool connect_terminal();

}  // namespace convmixer::cli
