// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace convmixer {

// CPUs this process may use: the affinity mask, capped by the cgroup's CPU quota (v1 and v2), ≥ 1.
int default_threads();

// The quota's part of it: how many of `cpus` the cgroups allow that the file `groups` lists (as
// /proc/self/cgroup does) and that are mounted at `mount`, those of v1 in its folder cpu, ≥ 1.
int threads_by_quota(int cpus, const std::string& groups, const std::string& mount);

}  // namespace convmixer
