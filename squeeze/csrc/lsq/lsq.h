// Learned step sizes (LSQ) of activations in training: a grid with one step for the whole tensor,
// and its gradients, in one pass each. No op of ONNX Runtime; squeeze/train calls it. The contract,
// for number i, with p = x[i] / step:
//
//   level  = round(p, but from low to high)         whole, half to even
//   y[i]   = level * step
//   dx[i]  = g[i] where p is from low to high, else 0
//   error  = level - p where p is from low to high, else level
//   sums   = of g[i] * error, and of those g[i] for which dx[i] is 0
//
// `low` and `high` are whole, below 2^22, and the zero point is off them already. What is no number
// stays that in y, gets no gradient, and makes the first sum no number. Every operation is one
// rounded float32 operation (no fused multiply-add); bfloat16 is widened before and rounded, half
// to even, after all. Sums are of blocks of kBlock numbers, 16 lanes each, so neither the ISA nor
// who takes which blocks changes a bit of them. All kernels are equal to the portable one bit for
// bit, but for the sign of 0.
//
// This header is also read by files that are compiled for one ISA only: nothing in it may emit code
// of its own.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/isa.h"

namespace squeeze::lsq {

inline constexpr size_t kBlock = 4096;

struct Grid {
  float step, low, high;
};

// Of one block.
struct Sums {
  float step, beyond;
};

// The two passes over `count` numbers of a type; backward writes Sums of each block begun.
struct Passes {
  void (*forward)(const Grid&, const void* x, size_t count, void* y);
  void (*backward)(const Grid&, const void* x, const void* g, size_t count, void* dx, Sums* sums);
};

struct Kernel {
  const char* name;
  Isa isa;
  Passes float32, bfloat16;
};

// All kernels of this build, fastest first; the last one is portable.
extern const Kernel* const kKernels[];
extern const int kKernelCount;

// The first kernel that `isa` may run.
const Kernel& SelectKernel(Isa isa);

}  // namespace squeeze::lsq
