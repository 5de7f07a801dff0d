// 16 numbers in two registers.
#include "qaddnorm/row.h"

namespace squeeze::qaddnorm {

extern const Kernel any__x86_avx2 = {"qaddnorm any__x86_avx2", Isa::kX86Avx2, Run};

}  // namespace squeeze::qaddnorm
