// 16 numbers in one register.
#include "qaddnorm/row.h"

namespace squeeze::qaddnorm {

extern const Kernel any__x86_avx512vnni = {"qaddnorm any__x86_avx512vnni", Isa::kX86Avx512Vnni,
                                           Run};

}  // namespace squeeze::qaddnorm
