// QAddNorm: the sum of two float tensors and a bias, normalised over its last dimension and
// quantised. The contract, for one row of n numbers:
//
//   sum[i]  = a[i] + (b[i] + bias[i])
//   mean    = (sum of sum[i]) / n, or 0 where nothing is centred
//   variance = (sum of (sum[i] - mean)^2) / n
//   norm[i] = (sum[i] - mean) * (1 / sqrt(variance + epsilon)) * scale[i] + shift[i]
//   y[i]    = sat(round(norm[i] * (1 / y_scale)) + y_zero_point)
//
// What goes on beside y is sum, norm, or norm[i] * factor[i].
//
// Number i of a row is added to partial sum i % 32, in order; partial sums i and i + 16 are added,
// then i and i + 8, and so on. round is half to even, sat is to 0..255, every float operation is
// one rounded float32 operation (no fused multiply-add). All kernels are equal to the portable one
// bit for bit. An s8 y is its u8 twin XOR 0x80.
//
// This header is also read by files that are compiled for one ISA only: nothing in it may emit code
// of its own.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/isa.h"

namespace squeeze::qaddnorm {

struct Norm {
  size_t width;                       // n, at least 1
  const float *bias, *scale, *shift;  // [width]
  const float* factor;                // [width], or null for ones
  float epsilon, steps_per_unit;      // 1 / y_scale
  bool centres;                       // else it is the norm of the root mean square
  uint8_t y_zero_point, flip;         // 0x80 where y is s8, else 0
};

// [rows, width] each; norm or sum is null.
struct Rows {
  const float *a, *b;
  uint8_t* y;
  float *norm, *sum;
};

struct Kernel {
  const char* name;
  Isa isa;
  // `scratch`: [width].
  void (*run)(const Norm&, const Rows&, size_t count, float* scratch);
};

// All kernels of this build, fastest first; the last one is portable.
extern const Kernel* const kKernels[];
extern const int kKernelCount;

// The first kernel that `isa` may run.
const Kernel& SelectKernel(Isa isa);

}  // namespace squeeze::qaddnorm
