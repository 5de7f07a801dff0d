// 16 numbers in one register.
#include "qgemmbyrow/rows.h"

namespace squeeze::qgemmbyrow {

extern const Kernel any__x86_avx512vnni = {"qgemmbyrow any__x86_avx512vnni", Isa::kX86Avx512Vnni,
                                           Quantise, Finish};

}  // namespace squeeze::qgemmbyrow
