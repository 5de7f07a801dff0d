// The int8 product of QConv, QGemm and their relatives: 2-D convolution of u8 images with s8
// weights, requantised to u8, with an optional residual. The contract. A matrix product is a 1 x 1
// convolution of an image with one row.
//
//   acc[o]  = bias[o] + sum (x - x_zero_point) * w[o]    int32, wrapping; x outside the image is
//             x_zero_point
//   conv[o] = sat(round(float(acc[o]) * multiplier[o]) + conv_zero_point)
//   y[o]    = conv[o], or with a residual
//             sat(round((conv[o] - conv_zero_point) * conv_ratio
//                       + (residual - residual_zero_point) * residual_ratio) + y_zero_point),
//             or with has_real_y, in float32, float(acc[o]) * multiplier[o]
//
// round is half to even, sat is to 0..255, every float operation is one rounded float32 operation
// (no fused multiply-add). All kernels are equal to the portable one bit for bit.
//
// Images are channels-last, [height, width, channels], without gaps. Weights come as [o, i /
// groups, kh, kw]. A kernel packs them once; run() then reads only the packed block. Kernels
// allocate nothing and start no threads.
//
// This header is also read by files that are compiled for one ISA only: nothing in it may emit code
// of its own.
#pragma once

#include "images/geometry.h"

namespace squeeze::product {

using images::Extent;

// What a node fixes. Everything is positive or zero and was checked when the node was read.
struct Conv : images::Geometry {
  uint8_t x_zero_point, conv_zero_point;
  bool has_residual, has_real_y;  // at most one of them
  uint8_t residual_zero_point, y_zero_point;
  float conv_ratio, residual_ratio;  // conv_scale / y_scale, residual_scale / y_scale
};

// What becomes of an accumulator.
enum class Made { kBytes, kSums, kReals };

SQUEEZE_INLINE Made MadeOf(const Conv& conv) {
  return conv.has_real_y ? Made::kReals : conv.has_residual ? Made::kSums : Made::kBytes;
}

// Of one number of y.
SQUEEZE_INLINE size_t YBytes(const Conv& conv) { return conv.has_real_y ? sizeof(float) : 1; }

struct Weights {
  const int8_t* w;      // [out_channels, in_channels / groups, kernel_h, kernel_w]
  const int32_t* bias;  // [out_channels]
  // [out_channels], x_scale * w_scale / conv_scale, which is 1 for a real y
  const float* multiplier;
};

// Output rows row_begin .. row_end - 1 of one image. x, residual and y point at the whole image.
struct Task {
  const uint8_t* x;         // [in_h, in_w, in_channels]
  const uint8_t* residual;  // [out_h, out_w, out_channels], null without one
  uint8_t* y;               // [out_h, out_w, out_channels], float32 with has_real_y
  int32_t row_begin, row_end;
};

struct Kernel {
  const char* name;
  Isa isa;
  int64_t macs_per_task;  // smaller pieces are not worth a thread
  bool (*supports)(const Conv&);
  size_t (*packed_bytes)(const Conv&);
  // `packed` is aligned to kAlignment and zeroed.
  void (*pack)(const Conv&, const Weights&, void* packed);
  size_t (*scratch_bytes)(const Conv&, const Extent&);
  // `scratch` is aligned to kAlignment and belongs to this call.
  void (*run)(const Conv&, const void* packed, const Extent&, const Task&, void* scratch);
  int32_t least_pixels = 1;  // of a task, where each decodes all weights for itself
};

// All kernels of this build, fastest first; the last one is portable and supports everything.
extern const Kernel* const kKernels[];
extern const int kKernelCount;

// The first kernel for `conv` that `isa` may run. `exact_in_simd`: see MultipliersFitSimd.
const Kernel& SelectKernel(const Conv& conv, Isa isa, bool exact_in_simd);

// Whether float(acc) * multiplier stays below 2^31 for every input: the vector instruction that
// rounds to int32 wraps beyond, so such weights (never seen in a trained model) go to the portable
// kernel.
bool MultipliersFitSimd(const Conv& conv, const Weights& weights);

// The kernel for these weights on `isa`.
using Select = const Kernel& (*)(const Conv& conv, const Weights& weights, Isa isa);
const Kernel& SelectPlain(const Conv& conv, const Weights& weights, Isa isa);

}  // namespace squeeze::product
