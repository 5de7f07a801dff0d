// For every CPU; on 64-bit Arm the compiler makes NEON of it.
#include "lsq/passes.h"

namespace squeeze::lsq {

extern const Kernel any__portable = {"lsq any__portable", Isa::kPortable, kFloat32, kBfloat16};

}  // namespace squeeze::lsq
