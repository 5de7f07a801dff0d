// 16 numbers in two registers.
#include "qreallookup/rows.h"

namespace squeeze::qreallookup {

extern const Kernel any__x86_avx2 = {"qreallookup any__x86_avx2", Isa::kX86Avx2, Run};

}  // namespace squeeze::qreallookup
