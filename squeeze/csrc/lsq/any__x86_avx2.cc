// 16 numbers in two registers.
#include "lsq/passes.h"

namespace squeeze::lsq {

extern const Kernel any__x86_avx2 = {"lsq any__x86_avx2", Isa::kX86Avx2, kFloat32, kBfloat16};

}  // namespace squeeze::lsq
