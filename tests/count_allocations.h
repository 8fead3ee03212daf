// SPDX-License-Identifier: Apache-2.0
// Counts every allocation of the executable it is linked into.
#pragma once

namespace convmixer::test {

bool can_count_allocations();  // not with a sanitizer, nor without glibc
long allocations();            // so far, by any thread

}  // namespace convmixer::test
