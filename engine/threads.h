// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace convmixer {

// CPUs this process may use: the affinity mask, capped by the cgroup's CPU quota (v1 and v2), ≥ 1.
int default_threads();

}  // namespace convmixer
