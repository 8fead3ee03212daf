// SPDX-License-Identifier: Apache-2.0
#define CONVMIXER_ISA portable
#include "kernels/simd_portable.h"
#include "kernels/table.inl.h"
