// QGemmByRow: a float matrix times int8 weights, with int8 products: each row of it is quantised
// when it is there, with a scale of its own. The contract, for one row of n numbers:
//
//   largest = max |a[i]|, at least kTiny; what is no number counts for nothing
//   q[i]    = sat(round(a[i] * (127 / largest)) + 128), the zero point
//   acc[o]  = sum (q[i] - 128) * b[o][i]                  int32; the kernels of product/
//   y[o]    = (float(acc[o]) * b_scale[o]) * (largest * (1 / 127)) + bias[o]
//
// round is half to even, sat is to 0..255, every float operation is one rounded float32 operation
// (no fused multiply-add). All kernels are equal to the portable one bit for bit.
//
// This header is also read by files that are compiled for one ISA only: nothing in it may emit code
// of its own.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/isa.h"

namespace squeeze::qgemmbyrow {

inline constexpr float kTiny = 1e-30f;
inline constexpr int kSteps = 127, kZeroPoint = 128;

struct Kernel {
  const char* name;
  Isa isa;
  // One row of `count` numbers as bytes; gives largest * (1 / 127).
  float (*quantise)(const float* a, size_t count, uint8_t* q);
  // y[o] = y[o] * scale + bias[o].
  void (*finish)(float scale, const float* bias, size_t count, float* y);
};

// All kernels of this build, fastest first; the last one is portable.
extern const Kernel* const kKernels[];
extern const int kKernelCount;

// The first kernel that `isa` may run.
const Kernel& SelectKernel(Isa isa);

}  // namespace squeeze::qgemmbyrow
