// Vectors of 64 bytes.
#include "qadd/loop.h"

namespace squeeze::qadd {

extern const Kernel any__x86_avx512vnni = {"qadd any__x86_avx512vnni", Isa::kX86Avx512Vnni, Run};

}  // namespace squeeze::qadd
