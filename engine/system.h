// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace convmixer {

// What this machine offers to this build, as text for a person, a fact a line, ending with a
// newline: the CPU's model, its cache sizes, the threads this process may use, every variant of the
// kernels with the reason where it cannot run here, the limit that CONVMIXER_ISA sets, oneDNN's
// version or why there is none. (capi/ adds the versions of convmixer and of the image libraries.)
// An invalid CONVMIXER_ISA is said in the text; nothing but std::bad_alloc is thrown.
std::string describe_system();

}  // namespace convmixer
