// For every CPU; on 64-bit Arm the compiler makes NEON of it.
#include "qadd/loop.h"

namespace squeeze::qadd {

extern const Kernel any__portable = {"qadd any__portable", Isa::kPortable, Run};

}  // namespace squeeze::qadd
