// QMaxPool and QGlobalAveragePool of 8-bit images. The contract.
//
// QMaxPool: y = the largest x of the window; outside the image there is nothing, and a window
// without a single pixel gives the least value of the type.
//
// QGlobalAveragePool: total = sum (x - x_zero_point) over all pixels, int32
//   y = sat(round(float(total) * (x_scale / (y_scale * pixels))) + y_zero_point)
// round is half to even, every float operation is one rounded float32 operation.
//
// Kernels do the maxima and the sums; all are equal to the portable one. They see u8: an s8 tensor
// is its u8 twin XOR 0x80, which a kernel applies to what it reads and writes.
//
// This header is also read by files that are compiled for one ISA only: nothing in it may emit code
// of its own.
#pragma once

#include "images/geometry.h"

namespace squeeze::qpool {

// Images are channels-last, without gaps.
struct Window : images::Window {
  uint8_t flip;  // 0x80 where the tensors are s8, else 0
};

// Output rows row_begin .. row_end - 1 of one image.
struct MaxTask {
  const uint8_t* x;  // [in_h, in_w, channels]
  uint8_t* y;        // [out_h, out_w, channels]
  int32_t in_h, in_w, out_w, channels;
  int32_t row_begin, row_end;
};

struct Kernel {
  const char* name;
  Isa isa;
  void (*max)(const Window&, const MaxTask&);
  // Adds x [pixels, channels] ^ flip up per channel. `totals` are zero before.
  void (*add_pixels)(const uint8_t* x, size_t pixels, size_t channels, uint8_t flip,
                     uint32_t* totals);
  // The same for x [channels, pixels].
  void (*add_planes)(const uint8_t* x, size_t pixels, size_t channels, uint8_t flip,
                     uint32_t* totals);
};

// All kernels of this build, fastest first; the last one is portable.
extern const Kernel* const kKernels[];
extern const int kKernelCount;

// The first kernel that `isa` may run.
const Kernel& SelectKernel(Isa isa);

}  // namespace squeeze::qpool
