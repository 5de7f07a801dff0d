// 16 numbers in two registers.
#include "qgemmbyrow/rows.h"

namespace squeeze::qgemmbyrow {

extern const Kernel any__x86_avx2 = {"qgemmbyrow any__x86_avx2", Isa::kX86Avx2, Quantise, Finish};

}  // namespace squeeze::qgemmbyrow
