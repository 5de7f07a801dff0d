// 16 numbers in a register.
#include "lsq/passes.h"

namespace squeeze::lsq {

extern const Kernel any__x86_avx512vnni = {"lsq any__x86_avx512vnni", Isa::kX86Avx512Vnni, kFloat32,
                                           kBfloat16};

}  // namespace squeeze::lsq
