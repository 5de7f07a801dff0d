#include "qaddnorm/qaddnorm.h"

namespace squeeze::qaddnorm {

#define SQUEEZE_KERNEL(name) extern const Kernel name;
#include "qaddnorm/kernels.inc"
#undef SQUEEZE_KERNEL

#define SQUEEZE_KERNEL(name) &name,
const Kernel* const kKernels[] = {
#include "qaddnorm/kernels.inc"
};
#undef SQUEEZE_KERNEL

const int kKernelCount = sizeof kKernels / sizeof kKernels[0];

const Kernel& SelectKernel(Isa isa) {
  for (const Kernel* kernel : kKernels) {
    if (kernel->isa <= isa) return *kernel;
  }
  return *kKernels[kKernelCount - 1];
}

}  // namespace squeeze::qaddnorm
