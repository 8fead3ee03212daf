// SPDX-License-Identifier: Apache-2.0
#include "engine/threads.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

namespace convmixer {
namespace {

int cpus_by_affinity() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
  // More CPUs than cpu_set_t holds.
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

// CPUs by the quota in one cgroup folder, or 0 for none. v2: cpu.max holds "quota period" or "max
// period"; v1: two files, a quota of −1 means none.
double quota_of(const std::string& folder) {
  std::ifstream v2(folder + "/cpu.max");
  double quota = 0, period = 0;
  if (v2 >> quota >> period && period > 0) return quota / period;
  std::ifstream v1_quota(folder + "/cpu.cfs_quota_us"), v1_period(folder + "/cpu.cfs_period_us");
  if (v1_quota >> quota && v1_period >> period && quota > 0 && period > 0) return quota / period;
  return 0;
}

// The smallest quota of a process's cgroup and its ancestors, or 0. `groups` has a line
// "id:controllers:path" each hierarchy; v2's is "0::path". Inside a container the path may not be
// mounted; the root of the mount is the container's own group then, and the loop ends there.
double smallest_quota(const std::string& groups, const std::string& mount) {
  double smallest = 0;
  std::ifstream lines(groups);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id, controllers, path;
    if (!std::getline(fields, id, ':') || !std::getline(fields, controllers, ':')) continue;
    std::getline(fields, path);
    std::string root = mount;
    if (!controllers.empty()) {
      if (("," + controllers + ",").find(",cpu,") == std::string::npos) continue;
      root += "/cpu";
    }
    for (;;) {
      const double quota = quota_of(root + (path == "/" ? "" : path));
      if (quota > 0 && (smallest == 0 || quota < smallest)) smallest = quota;
      if (path.empty() || path == "/") break;
      path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  }
  return smallest;
}

}  // namespace

int threads_by_quota(int cpus, const std::string& groups, const std::string& mount) {
  const double quota = smallest_quota(groups, mount);
  // Rounded up: 1.5 CPUs serve two threads better than one.
  const int allowed = quota > 0 ? static_cast<int>(std::ceil(std::min(quota, 1e6))) : cpus;
  return std::max(1, std::min(cpus, allowed));
}

int default_threads() {
  return threads_by_quota(cpus_by_affinity(), "/proc/self/cgroup", "/sys/fs/cgroup");
}

}  // namespace convmixer
