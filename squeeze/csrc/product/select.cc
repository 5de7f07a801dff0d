#include "product/product.h"

namespace squeeze::product {

#define SQUEEZE_KERNEL(name) extern const Kernel name;
#include "product/kernels.inc"
#undef SQUEEZE_KERNEL

#define SQUEEZE_KERNEL(name) &name,
const Kernel* const kKernels[] = {
#include "product/kernels.inc"
};
#undef SQUEEZE_KERNEL

const int kKernelCount = sizeof kKernels / sizeof kKernels[0];

const Kernel& SelectKernel(const Conv& conv, Isa isa, bool exact_in_simd) {
  for (const Kernel* kernel : kKernels) {
    const bool allowed = kernel->isa == Isa::kPortable || (exact_in_simd && kernel->isa <= isa);
    if (allowed && kernel->supports(conv)) return *kernel;
  }
  return *kKernels[kKernelCount - 1];
}

bool MultipliersFitSimd(const Conv& conv, const Weights& weights) {
  if (conv.has_real_y) return true;  // nothing is rounded to int32
  const size_t per_output = WeightsPerOutput(conv);
  constexpr double kInt32Limit = 2147483648.0;
  for (int32_t o = 0; o < conv.out_channels; ++o) {
    double bound = 0;
    for (size_t i = 0; i < per_output; ++i) {
      const double w = weights.w[o * per_output + i];
      bound += 255 * (w < 0 ? -w : w);
    }
    const double bias = weights.bias[o];
    bound += bias < 0 ? -bias : bias;
    if (bound > kInt32Limit) bound = kInt32Limit;  // the accumulator wraps
    if (bound * weights.multiplier[o] >= kInt32Limit) return false;
  }
  return true;
}

const Kernel& SelectPlain(const Conv& conv, const Weights& weights, Isa isa) {
  return SelectKernel(conv, isa, MultipliersFitSimd(conv, weights));
}

}  // namespace squeeze::product
