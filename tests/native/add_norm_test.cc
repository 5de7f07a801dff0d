// The kernels of QAddNorm against the portable one: equal bytes and equal numbers, nothing read or
// written outside the buffers.
#include <string.h>

#include <vector>

#include "native/every_kernel.h"
#include "native/guarded.h"
#include "qaddnorm/qaddnorm.h"

namespace {

using squeeze::native::Guarded;
using squeeze::native::Random;
using squeeze::qaddnorm::Kernel;
using squeeze::qaddnorm::Norm;
using squeeze::qaddnorm::Rows;

constexpr int kRandomCases = 2000;

struct Numbers {
  Guarded memory;
  Numbers(Random& random, size_t count) : memory(count * sizeof(float), alignof(float)) {
    for (size_t i = 0; i < count; ++i) data()[i] = random(-3000, 3000) * 0.001f;
  }
  float* data() const { return reinterpret_cast<float*>(memory.data()); }
};

bool Same(const Kernel& kernel, const Kernel& portable, Random& random) {
  const size_t width = random(1, random(0, 3) ? 70 : 400), rows = random(0, 4);
  const size_t count = width * rows;
  const Numbers a(random, count), b(random, count), bias(random, width), scale(random, width),
      shift(random, width), factor(random, width), scratch(random, width), stream(random, count);
  const Norm norm = {width,
                     bias.data(),
                     scale.data(),
                     shift.data(),
                     random(0, 1) ? factor.data() : nullptr,
                     1e-5f,
                     random(10, 1000) * 1.0f,
                     random(0, 2) > 0,
                     static_cast<uint8_t>(random(0, 255)),
                     static_cast<uint8_t>(random(0, 1) * 0x80)};
  const Guarded y(count);
  std::vector<uint8_t> wanted(count);
  std::vector<float> wanted_stream(count), wanted_scratch(width);
  const bool is_sum = random(0, 1);
  const auto to = [&](uint8_t* bytes, float* numbers) {
    return Rows{a.data(), b.data(), bytes, is_sum ? nullptr : numbers, is_sum ? numbers : nullptr};
  };
  portable.run(norm, to(wanted.data(), wanted_stream.data()), rows, wanted_scratch.data());
  kernel.run(norm, to(y.data(), stream.data()), rows, scratch.data());
  return a.memory.Intact() && b.memory.Intact() && factor.memory.Intact() && y.Intact() &&
         stream.memory.Intact() && scratch.memory.Intact() &&
         (!count || (!memcmp(y.data(), wanted.data(), count) &&
                     !memcmp(stream.data(), wanted_stream.data(), count * sizeof(float))));
}

}  // namespace

bool TestAddNormKernels() {
  using squeeze::qaddnorm::kKernelCount, squeeze::qaddnorm::kKernels;
  return squeeze::native::TestEveryKernel(kKernels, kKernelCount,
                                          squeeze::native::quick ? 100 : kRandomCases, Same);
}
