// Vectors of 32 bytes.
#include "qadd/loop.h"

namespace squeeze::qadd {

extern const Kernel any__x86_avx2 = {"qadd any__x86_avx2", Isa::kX86Avx2, Run};

}  // namespace squeeze::qadd
