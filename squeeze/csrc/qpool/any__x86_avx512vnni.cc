// Vectors of 64 bytes.
#include "qpool/loops.h"

namespace squeeze::qpool {

extern const Kernel any__x86_avx512vnni = {"qpool any__x86_avx512vnni", Isa::kX86Avx512Vnni,
                                           Max<64>, AddPixels, AddPlanes};

}  // namespace squeeze::qpool
