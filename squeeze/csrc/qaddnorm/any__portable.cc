// For every CPU; on 64-bit Arm the compiler makes NEON of it.
#include "qaddnorm/row.h"

namespace squeeze::qaddnorm {

extern const Kernel any__portable = {"qaddnorm any__portable", Isa::kPortable, Run};

}  // namespace squeeze::qaddnorm
