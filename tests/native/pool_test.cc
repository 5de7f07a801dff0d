// The kernels of QAdd and of the pools against the portable ones: equal bytes, nothing read or
// written outside the buffers.
#include <string.h>

#include <vector>

#include "native/every_kernel.h"
#include "native/guarded.h"
#include "qadd/qadd.h"
#include "qpool/qpool.h"

namespace {

using squeeze::native::Guarded;
using squeeze::native::Random;
using squeeze::native::TestEveryKernel;

constexpr int kRandomCases = 2000;

void Fill(Random& random, const Guarded& memory, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) memory.data()[i] = static_cast<uint8_t>(random(0, 255));
}

// False when they differ or a guard was hit.
bool SameSum(const squeeze::qadd::Kernel& kernel, const squeeze::qadd::Kernel& portable,
             Random& random) {
  const bool ties = random(0, 1);  // powers of two: exact halves occur
  const squeeze::qadd::Add add = {
      static_cast<uint8_t>(random(0, 255)),   static_cast<uint8_t>(random(0, 255)),
      static_cast<uint8_t>(random(0, 255)),   static_cast<uint8_t>(random(0, 1) * 0x80),
      ties ? 0.5f : random(1, 3000) * 0.001f, ties ? 0.25f : random(0, 40) ? 0.81f : 1e6f};
  const size_t count = random(0, 7) ? random(0, 200) : random(0, 2000);
  const Guarded a(count), b(count), y(count);
  Fill(random, a, count), Fill(random, b, count);
  std::vector<uint8_t> wanted(count);
  portable.run(add, a.data(), b.data(), count, wanted.data());
  kernel.run(add, a.data(), b.data(), count, y.data());
  // No bytes have no address in a vector, and memcmp wants one.
  return a.Intact() && b.Intact() && y.Intact() &&
         (!count || !memcmp(y.data(), wanted.data(), count));
}

bool SameTotals(const squeeze::qpool::Kernel& kernel, Random& random) {
  const size_t pixels = random(1, 300), channels = random(1, 90);
  const auto flip = static_cast<uint8_t>(random(0, 1) * 0x80);
  const size_t bytes = channels * sizeof(uint32_t);
  const Guarded x(pixels * channels), by_pixels(bytes, 4), by_planes(bytes, 4);
  Fill(random, x, pixels * channels);
  memset(by_pixels.data(), 0, bytes), memset(by_planes.data(), 0, bytes);
  kernel.add_pixels(x.data(), pixels, channels, flip,
                    reinterpret_cast<uint32_t*>(by_pixels.data()));
  kernel.add_planes(x.data(), pixels, channels, flip,
                    reinterpret_cast<uint32_t*>(by_planes.data()));
  std::vector<uint32_t> pixel_totals(channels), plane_totals(channels);
  for (size_t i = 0; i < pixels * channels; ++i) {
    pixel_totals[i % channels] += x.data()[i] ^ flip;
    plane_totals[i / pixels] += x.data()[i] ^ flip;
  }
  return by_pixels.Intact() && by_planes.Intact() &&
         !memcmp(by_pixels.data(), pixel_totals.data(), bytes) &&
         !memcmp(by_planes.data(), plane_totals.data(), bytes);
}

bool SameMaxima(const squeeze::qpool::Kernel& kernel, const squeeze::qpool::Kernel& portable,
                Random& random) {
  squeeze::qpool::Window w = {};
  w.kernel_h = random(1, 5), w.kernel_w = random(1, 5);
  w.stride_h = random(1, 3), w.stride_w = random(1, 3);
  w.dilation_h = random(1, 3), w.dilation_w = random(1, 3);
  w.pad_top = random(0, w.kernel_h - 1), w.pad_left = random(0, w.kernel_w - 1);
  w.flip = random(0, 1) * 0x80;
  squeeze::qpool::MaxTask task = {};
  task.in_h = random(1, 12), task.in_w = random(1, 12), task.channels = random(1, 200);
  const int room_h = task.in_h + w.pad_top + random(0, 4) - (w.kernel_h - 1) * w.dilation_h - 1;
  const int room_w = task.in_w + w.pad_left + random(0, 4) - (w.kernel_w - 1) * w.dilation_w - 1;
  if (room_h < 0 || room_w < 0) return true;
  const int out_h = room_h / w.stride_h + 1;
  task.out_w = room_w / w.stride_w + 1;
  const size_t x_bytes = size_t{1} * task.in_h * task.in_w * task.channels;
  const size_t y_bytes = size_t{1} * out_h * task.out_w * task.channels;
  const Guarded x(x_bytes), y(y_bytes);
  Fill(random, x, x_bytes);
  std::vector<uint8_t> wanted(y_bytes);
  task.x = x.data();
  task.y = wanted.data(), task.row_end = out_h;
  portable.max(w, task);
  task.y = y.data();
  const int split = random(0, out_h);
  task.row_end = split;
  kernel.max(w, task);
  task.row_begin = split, task.row_end = out_h;
  kernel.max(w, task);
  return x.Intact() && y.Intact() && !memcmp(y.data(), wanted.data(), y_bytes);
}

}  // namespace

bool TestPoolKernels() {
  bool ok =
      TestEveryKernel(squeeze::qadd::kKernels, squeeze::qadd::kKernelCount, kRandomCases, SameSum);
  ok = TestEveryKernel(squeeze::qpool::kKernels, squeeze::qpool::kKernelCount, kRandomCases,
                       SameMaxima) &&
       ok;
  const auto totals = [](const squeeze::qpool::Kernel& kernel, const squeeze::qpool::Kernel&,
                         Random& random) { return SameTotals(kernel, random); };
  return TestEveryKernel(squeeze::qpool::kKernels, squeeze::qpool::kKernelCount, kRandomCases,
                         totals) &&
         ok;
}
