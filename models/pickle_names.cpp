// SPDX-License-Identifier: Apache-2.0
#include "models/pickle_names.h"

#include <algorithm>
#include <iterator>
#include <string>

namespace convmixer::pickle {
namespace {

// Sorted by name. What PyTorch, numpy and Paddle write for tensors, and what training scripts keep
// beside the weights: containers, numbers, paths, dates, command-line arguments. `__builtin__`,
// `copy_reg` and `numpy.core` are what older Pythons and numpy 1 wrote; `torch.cuda` stands in
// non-zip files saved on a GPU.
constexpr Name kNames[] = {
    {"__builtin__.bool", Role::kInert, nullptr},
    {"__builtin__.bytearray", Role::kInert, nullptr},
    {"__builtin__.bytes", Role::kInert, nullptr},
    {"__builtin__.complex", Role::kInert, nullptr},
    {"__builtin__.dict", Role::kDict, nullptr},
    {"__builtin__.float", Role::kInert, nullptr},
    {"__builtin__.frozenset", Role::kInert, nullptr},
    {"__builtin__.int", Role::kInert, nullptr},
    {"__builtin__.list", Role::kSequence, nullptr},
    {"__builtin__.long", Role::kInert, nullptr},
    {"__builtin__.object", Role::kInert, nullptr},
    {"__builtin__.range", Role::kInert, nullptr},
    {"__builtin__.set", Role::kInert, nullptr},
    {"__builtin__.slice", Role::kInert, nullptr},
    {"__builtin__.str", Role::kInert, nullptr},
    {"__builtin__.tuple", Role::kSequence, nullptr},
    {"__builtin__.unicode", Role::kInert, nullptr},
    {"__builtin__.xrange", Role::kInert, nullptr},
    {"_codecs.encode", Role::kEncode, nullptr},
    {"argparse.Namespace", Role::kInert, nullptr},
    {"builtins.bool", Role::kInert, nullptr},
    {"builtins.bytearray", Role::kInert, nullptr},
    {"builtins.bytes", Role::kInert, nullptr},
    {"builtins.complex", Role::kInert, nullptr},
    {"builtins.dict", Role::kDict, nullptr},
    {"builtins.float", Role::kInert, nullptr},
    {"builtins.frozenset", Role::kInert, nullptr},
    {"builtins.int", Role::kInert, nullptr},
    {"builtins.list", Role::kSequence, nullptr},
    {"builtins.object", Role::kInert, nullptr},
    {"builtins.range", Role::kInert, nullptr},
    {"builtins.set", Role::kInert, nullptr},
    {"builtins.slice", Role::kInert, nullptr},
    {"builtins.str", Role::kInert, nullptr},
    {"builtins.tuple", Role::kSequence, nullptr},
    {"collections.Counter", Role::kDict, nullptr},
    {"collections.OrderedDict", Role::kDict, nullptr},
    {"collections.defaultdict", Role::kDict, nullptr},
    {"collections.deque", Role::kInert, nullptr},
    {"copy_reg._reconstructor", Role::kInert, nullptr},
    {"copyreg._reconstructor", Role::kInert, nullptr},
    {"datetime.date", Role::kInert, nullptr},
    {"datetime.datetime", Role::kInert, nullptr},
    {"datetime.timedelta", Role::kInert, nullptr},
    {"numpy._core.multiarray._reconstruct", Role::kReconstruct, nullptr},
    {"numpy._core.multiarray.scalar", Role::kInert, nullptr},
    {"numpy._core.numeric._frombuffer", Role::kFromBuffer, nullptr},
    {"numpy.bool_", Role::kInert, nullptr},
    {"numpy.core.multiarray._reconstruct", Role::kReconstruct, nullptr},
    {"numpy.core.multiarray.scalar", Role::kInert, nullptr},
    {"numpy.core.numeric._frombuffer", Role::kFromBuffer, nullptr},
    {"numpy.dtype", Role::kNumpyDType, nullptr},
    {"numpy.dtypes.BoolDType", Role::kInert, nullptr},
    {"numpy.dtypes.Float16DType", Role::kInert, nullptr},
    {"numpy.dtypes.Float32DType", Role::kInert, nullptr},
    {"numpy.dtypes.Float64DType", Role::kInert, nullptr},
    {"numpy.dtypes.Int32DType", Role::kInert, nullptr},
    {"numpy.dtypes.Int64DType", Role::kInert, nullptr},
    {"numpy.float32", Role::kInert, nullptr},
    {"numpy.float64", Role::kInert, nullptr},
    {"numpy.int32", Role::kInert, nullptr},
    {"numpy.int64", Role::kInert, nullptr},
    {"numpy.ndarray", Role::kInert, nullptr},
    {"pathlib.Path", Role::kInert, nullptr},
    {"pathlib.PosixPath", Role::kInert, nullptr},
    {"pathlib.PurePosixPath", Role::kInert, nullptr},
    {"pathlib.PureWindowsPath", Role::kInert, nullptr},
    {"pathlib.WindowsPath", Role::kInert, nullptr},
    {"torch.BFloat16Storage", Role::kStorage, "BF16"},
    {"torch.BoolStorage", Role::kStorage, "BOOL"},
    {"torch.ByteStorage", Role::kStorage, "U8"},
    {"torch.CharStorage", Role::kStorage, "I8"},
    {"torch.ComplexFloatStorage", Role::kStorage, "C64"},
    {"torch.DoubleStorage", Role::kStorage, "F64"},
    {"torch.FloatStorage", Role::kStorage, "F32"},
    {"torch.HalfStorage", Role::kStorage, "F16"},
    {"torch.IntStorage", Role::kStorage, "I32"},
    {"torch.LongStorage", Role::kStorage, "I64"},
    {"torch.ShortStorage", Role::kStorage, "I16"},
    {"torch.Size", Role::kSequence, nullptr},
    {"torch.Tensor", Role::kInert, nullptr},
    {"torch.UntypedStorage", Role::kStorage, "U8"},
    {"torch._tensor._rebuild_from_type_v2", Role::kFromType, nullptr},
    {"torch._utils._rebuild_parameter", Role::kParameter, nullptr},
    {"torch._utils._rebuild_parameter_with_state", Role::kParameter, nullptr},
    {"torch._utils._rebuild_tensor", Role::kTensor, nullptr},
    {"torch._utils._rebuild_tensor_v2", Role::kTensor, nullptr},
    {"torch._utils._rebuild_tensor_v3", Role::kTensorTyped, nullptr},
    {"torch.bfloat16", Role::kDType, "BF16"},
    {"torch.bool", Role::kDType, "BOOL"},
    {"torch.channels_last", Role::kInert, nullptr},
    {"torch.complex64", Role::kDType, "C64"},
    {"torch.contiguous_format", Role::kInert, nullptr},
    {"torch.cuda.BFloat16Storage", Role::kStorage, "BF16"},
    {"torch.cuda.BoolStorage", Role::kStorage, "BOOL"},
    {"torch.cuda.ByteStorage", Role::kStorage, "U8"},
    {"torch.cuda.CharStorage", Role::kStorage, "I8"},
    {"torch.cuda.ComplexFloatStorage", Role::kStorage, "C64"},
    {"torch.cuda.DoubleStorage", Role::kStorage, "F64"},
    {"torch.cuda.FloatStorage", Role::kStorage, "F32"},
    {"torch.cuda.HalfStorage", Role::kStorage, "F16"},
    {"torch.cuda.IntStorage", Role::kStorage, "I32"},
    {"torch.cuda.LongStorage", Role::kStorage, "I64"},
    {"torch.cuda.ShortStorage", Role::kStorage, "I16"},
    {"torch.device", Role::kInert, nullptr},
    {"torch.double", Role::kDType, "F64"},
    {"torch.dtype", Role::kInert, nullptr},
    {"torch.float", Role::kDType, "F32"},
    {"torch.float16", Role::kDType, "F16"},
    {"torch.float32", Role::kDType, "F32"},
    {"torch.float64", Role::kDType, "F64"},
    {"torch.float8_e4m3fn", Role::kDType, "F8_E4M3"},
    {"torch.float8_e4m3fnuz", Role::kDType, "F8_E4M3FNUZ"},
    {"torch.float8_e5m2", Role::kDType, "F8_E5M2"},
    {"torch.float8_e5m2fnuz", Role::kDType, "F8_E5M2FNUZ"},
    {"torch.float8_e8m0fnu", Role::kDType, "F8_E8M0"},
    {"torch.half", Role::kDType, "F16"},
    {"torch.int", Role::kDType, "I32"},
    {"torch.int16", Role::kDType, "I16"},
    {"torch.int32", Role::kDType, "I32"},
    {"torch.int64", Role::kDType, "I64"},
    {"torch.int8", Role::kDType, "I8"},
    {"torch.long", Role::kDType, "I64"},
    {"torch.nn.parameter.Parameter", Role::kInert, nullptr},
    {"torch.preserve_format", Role::kInert, nullptr},
    {"torch.serialization._get_layout", Role::kInert, nullptr},
    {"torch.short", Role::kDType, "I16"},
    {"torch.storage.UntypedStorage", Role::kStorage, "U8"},
    {"torch.strided", Role::kInert, nullptr},
    {"torch.uint16", Role::kDType, "U16"},
    {"torch.uint32", Role::kDType, "U32"},
    {"torch.uint64", Role::kDType, "U64"},
    {"torch.uint8", Role::kDType, "U8"},
    {"types.SimpleNamespace", Role::kInert, nullptr},
};

constexpr bool is_sorted() {
  for (std::size_t i = 1; i < std::size(kNames); ++i) {
    if (kNames[i - 1].full >= kNames[i].full) return false;
  }
  return true;
}
static_assert(is_sorted(), "the search below needs it");

}  // namespace

const Name* find_name(std::string_view module, std::string_view name) {
  constexpr std::size_t kLongest = 64;
  if (module.size() + name.size() >= kLongest) return nullptr;  // and nothing is copied
  std::string full(module);
  full.append(".").append(name);
  const Name* found = std::lower_bound(
      std::begin(kNames), std::end(kNames), full,
      [](const Name& known, const std::string& text) { return known.full < text; });
  return found != std::end(kNames) && found->full == full ? found : nullptr;
}

}  // namespace convmixer::pickle
