// Vectors of 32 bytes.
#include "qpool/loops.h"

namespace squeeze::qpool {

extern const Kernel any__x86_avx2 = {"qpool any__x86_avx2", Isa::kX86Avx2, Max<32>, AddPixels,
                                     AddPlanes};

}  // namespace squeeze::qpool
