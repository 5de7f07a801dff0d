// Convolution in groups of any size, narrow groups several to a vector; any kernel size, stride,
// dilation and padding, with exact 16-bit products.
#include "product/x86_avx2_blocks.h"

namespace squeeze::product {
namespace {

bool Supports(const Conv& conv) { return conv.groups > 1 && !conv.has_real_y; }

}  // namespace

extern const Kernel grouped__x86_avx2 = {
    "product grouped__x86_avx2",
    Isa::kX86Avx2,
    300'000,
    Supports,
    PackedBytes,
    PackWeights,
    ScratchBytes,
    Run<true>,
};

}  // namespace squeeze::product
