#include "qcodebook/levels.h"
#include "qcodebook/qcodebook.h"

namespace squeeze::qcodebook {

#define SQUEEZE_KERNEL(name) extern const Kernel name;
#include "qcodebook/kernels.inc"
#undef SQUEEZE_KERNEL

#define SQUEEZE_KERNEL(name) &name,
const Kernel* const kKernels[] = {
#include "qcodebook/kernels.inc"
};
#undef SQUEEZE_KERNEL

const int kKernelCount = sizeof kKernels / sizeof kKernels[0];

int32_t TableBits(const product::Conv& conv, const product::Weights& weights) {
  const size_t count = WeightsPerOutput(conv);
  int32_t most = 0;
  for (int32_t o = 0; o < conv.out_channels; ++o) {
    const Levels levels = LevelsOf(weights.w + o * count, count);
    if (levels.count > most) most = levels.count;
  }
  return most <= 4 ? 2 : most <= kMostLevels ? 4 : 0;
}

const product::Kernel& SelectKernel(const product::Conv& conv, const product::Weights& weights,
                                    Isa isa) {
  const int32_t bits = TableBits(conv, weights);
  const bool exact = product::MultipliersFitSimd(conv, weights);
  const product::Kernel& plain = product::SelectKernel(conv, isa, exact);
  for (const Kernel* candidate : kKernels) {
    const product::Kernel& kernel = candidate->kernel;
    const bool portable = kernel.isa == Isa::kPortable;
    const bool allowed = portable ? plain.isa == Isa::kPortable : exact && kernel.isa <= isa;
    if (bits == candidate->table_bits && allowed && kernel.supports(conv)) return kernel;
  }
  return plain;
}

}  // namespace squeeze::qcodebook
