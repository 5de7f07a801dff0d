// The kernels of QGemmByRow against the portable one: equal bytes, scales and numbers, nothing read
// or written outside the buffers.
#include <math.h>
#include <string.h>

#include <vector>

#include "native/every_kernel.h"
#include "native/guarded.h"
#include "qgemmbyrow/qgemmbyrow.h"

namespace {

using squeeze::native::Guarded;
using squeeze::native::Random;
using squeeze::qgemmbyrow::Kernel;

constexpr int kRandomCases = 2000;

struct Numbers {
  Guarded memory;
  Numbers(Random& random, size_t count, float scale)
      : memory(count * sizeof(float), alignof(float)) {
    for (size_t i = 0; i < count; ++i) data()[i] = random(-3000, 3000) * scale;
  }
  float* data() const { return reinterpret_cast<float*>(memory.data()); }
};

bool Same(const Kernel& kernel, const Kernel& portable, Random& random) {
  const size_t count = random(1, random(0, 3) ? 70 : 400);
  const float scales[] = {0.0f, 1e-36f, 1e-3f, 1e30f};
  const Numbers a(random, count, scales[random(0, 3)]);
  if (!random(0, 9)) a.data()[random(0, static_cast<int>(count) - 1)] = NAN;
  if (!random(0, 9)) a.data()[random(0, static_cast<int>(count) - 1)] = INFINITY;
  const Guarded q(count);
  std::vector<uint8_t> wanted(count);
  const float found = kernel.quantise(a.data(), count, q.data());
  const float scale = portable.quantise(a.data(), count, wanted.data());
  const Numbers y(random, count, 1.0f), bias(random, count, 0.1f);
  std::vector<float> wanted_y(y.data(), y.data() + count);
  kernel.finish(0.37f, bias.data(), count, y.data());
  portable.finish(0.37f, bias.data(), count, wanted_y.data());
  return a.memory.Intact() && q.Intact() && y.memory.Intact() && bias.memory.Intact() &&
         !memcmp(&found, &scale, sizeof found) && !memcmp(q.data(), wanted.data(), count) &&
         !memcmp(y.data(), wanted_y.data(), count * sizeof(float));
}

}  // namespace

bool TestByRowKernels() {
  using squeeze::qgemmbyrow::kKernelCount, squeeze::qgemmbyrow::kKernels;
  return squeeze::native::TestEveryKernel(kKernels, kKernelCount,
                                          squeeze::native::quick ? 100 : kRandomCases, Same);
}
