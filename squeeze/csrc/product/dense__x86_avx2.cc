// Dense convolution, any kernel size, stride, dilation and padding, with exact 16-bit products.
#include "product/x86_avx2_blocks.h"

namespace squeeze::product {
namespace {

bool Supports(const Conv& conv) { return conv.groups == 1; }

}  // namespace

extern const Kernel dense__x86_avx2 = {
    "product dense__x86_avx2",
    Isa::kX86Avx2,
    500'000,
    Supports,
    PackedBytes,
    PackWeights,
    ScratchBytes,
    Run<false>,
};

}  // namespace squeeze::product
