// For every CPU; on 64-bit Arm the compiler makes NEON of it.
#include "qreallookup/rows.h"

namespace squeeze::qreallookup {

extern const Kernel any__portable = {"qreallookup any__portable", Isa::kPortable, Run};

}  // namespace squeeze::qreallookup
