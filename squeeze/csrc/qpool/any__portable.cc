// Vectors of 16 bytes, which every 64-bit CPU has.
#include "qpool/loops.h"

namespace squeeze::qpool {

extern const Kernel any__portable = {"qpool any__portable", Isa::kPortable, Max<16>, AddPixels,
                                     AddPlanes};

}  // namespace squeeze::qpool
