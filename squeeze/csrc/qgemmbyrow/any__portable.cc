// For every CPU; on 64-bit Arm the compiler makes NEON of it.
#include "qgemmbyrow/rows.h"

namespace squeeze::qgemmbyrow {

extern const Kernel any__portable = {"qgemmbyrow any__portable", Isa::kPortable, Quantise, Finish};

}  // namespace squeeze::qgemmbyrow
