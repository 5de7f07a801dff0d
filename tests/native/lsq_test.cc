// The passes of LSQ against the portable ones: equal numbers, nothing read or written outside the
// buffers. squeeze/train's tests hold the portable ones against NumPy.
#include "lsq/lsq.h"

#include <math.h>
#include <string.h>

#include <vector>

#include "native/every_kernel.h"
#include "native/guarded.h"

namespace {

using squeeze::lsq::Grid;
using squeeze::lsq::kBlock;
using squeeze::lsq::Kernel;
using squeeze::lsq::Passes;
using squeeze::lsq::Sums;
using squeeze::native::Guarded;
using squeeze::native::Random;

constexpr int kRandomCases = 1000;

float Number(Random& random, float step) {
  const int kind = random(0, 40);
  if (kind == 0) return NAN;
  if (kind == 1) return random(0, 1) ? INFINITY : -INFINITY;
  if (kind < 20) return random(-600, 600) * 0.5f * step;  // halves, and ends of the grid
  return random(-30000, 30000) * 0.01f * step;
}

struct Tensor {
  Guarded memory;
  size_t bytes;  // of a number: the upper ones of a float32
  Tensor(size_t count, size_t bytes) : memory(count * bytes, bytes), bytes(bytes) {
    memset(memory.data(), 0, count * bytes);
  }
  uint8_t* data() const { return memory.data(); }
  void Set(size_t i, float value) {
    memcpy(data() + i * bytes, reinterpret_cast<uint8_t*>(&value) + 4 - bytes, bytes);
  }
  float Get(size_t i) const {
    float value = 0;
    memcpy(reinterpret_cast<uint8_t*>(&value) + 4 - bytes, data() + i * bytes, bytes);
    return value;
  }
};

bool Equal(float a, float b) { return a == b || (a != a && b != b); }

bool Equal(const Tensor& a, const Tensor& b, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (!Equal(a.Get(i), b.Get(i))) return false;
  }
  return true;
}

bool Same(const Kernel& kernel, const Kernel& portable, Random& random) {
  const bool is_half = random(0, 1), finite = random(0, 1);
  const size_t bytes = is_half ? 2 : 4;
  const Passes& passes = is_half ? kernel.bfloat16 : kernel.float32;
  const Passes& wanted = is_half ? portable.bfloat16 : portable.float32;
  const size_t count = random(0, 9) ? random(0, 100) : random(kBlock - 20, 2 * kBlock + 20);
  const size_t blocks = (count + kBlock - 1) / kBlock;
  const int zero = random(0, 255);
  const Grid grid = {random(0, 1) ? 0.25f : 0.013f, -1.0f * zero, 255.0f - zero};
  Tensor x(count, bytes), g(count, bytes), y(count, bytes), y_wanted(count, bytes),
      dx(count, bytes), dx_wanted(count, bytes);
  for (size_t i = 0; i < count; ++i) {
    const float value = Number(random, grid.step);
    x.Set(i, finite && !isfinite(value) ? 0.0f : value);
    g.Set(i, random(-1000, 1000) * 0.001f);
  }
  const Guarded sums(blocks * sizeof(Sums), alignof(Sums));
  std::vector<Sums> sums_wanted(blocks);
  passes.forward(grid, x.data(), count, y.data());
  wanted.forward(grid, x.data(), count, y_wanted.data());
  passes.backward(grid, x.data(), g.data(), count, dx.data(), reinterpret_cast<Sums*>(sums.data()));
  wanted.backward(grid, x.data(), g.data(), count, dx_wanted.data(), sums_wanted.data());
  for (size_t i = 0; i < blocks; ++i) {
    const Sums& found = reinterpret_cast<Sums*>(sums.data())[i];
    if (!Equal(found.step, sums_wanted[i].step) || !Equal(found.beyond, sums_wanted[i].beyond)) {
      return false;
    }
  }
  return x.memory.Intact() && g.memory.Intact() && y.memory.Intact() && dx.memory.Intact() &&
         sums.Intact() && Equal(y, y_wanted, count) && Equal(dx, dx_wanted, count);
}

}  // namespace

bool TestLsqKernels() {
  using squeeze::lsq::kKernelCount, squeeze::lsq::kKernels;
  return squeeze::native::TestEveryKernel(kKernels, kKernelCount,
                                          squeeze::native::quick ? 100 : kRandomCases, Same);
}
