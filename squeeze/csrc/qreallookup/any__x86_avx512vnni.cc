// 16 numbers in one register.
#include "qreallookup/rows.h"

namespace squeeze::qreallookup {

extern const Kernel any__x86_avx512vnni = {"qreallookup any__x86_avx512vnni", Isa::kX86Avx512Vnni,
                                           Run};

}  // namespace squeeze::qreallookup
