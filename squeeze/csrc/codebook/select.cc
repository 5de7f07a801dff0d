#include "codebook/codebook.h"
#include "codebook/stream.h"

namespace squeeze::codebook {

#define SQUEEZE_KERNEL(name) extern const Kernel name;
#include "codebook/kernels.inc"
#undef SQUEEZE_KERNEL

#define SQUEEZE_KERNEL(name) &name,
const Kernel* const kKernels[] = {
#include "codebook/kernels.inc"
};
#undef SQUEEZE_KERNEL

const int kKernelCount = sizeof kKernels / sizeof kKernels[0];

const Kernel& SelectKernel(const Layer& layer, Isa isa) {
  for (const Kernel* kernel : kKernels) {
    if (kernel->isa <= isa && kernel->supports(layer)) return *kernel;
  }
  return *kKernels[kKernelCount - 1];
}

int32_t TableBits(const Layer& layer, const Weights& weights) {
  const size_t per_output = WeightsPerOutput(layer);
  if (layer.bucket % per_output == 0) return layer.bits;  // one book for each output channel
  int largest = 0;
  for (int32_t o = 0; o < layer.out_channels; ++o) {
    Table table = {};
    for (size_t i = 0; i < per_output; ++i) {
      if (table.IndexOf(WeightAt(layer, weights, o * per_output + i)) < 0) return 0;
    }
    if (table.count > largest) largest = table.count;
  }
  return largest <= 4 ? 2 : largest <= 8 ? 3 : 4;
}

}  // namespace squeeze::codebook
