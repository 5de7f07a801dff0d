// QAdd: the sum of two 8-bit tensors of equal shape, requantised. The contract.
//
//   y = sat(round((a - a_zero_point) * a_ratio + (b - b_zero_point) * b_ratio) + y_zero_point)
//
// round is half to even, sat is to 0..255, every float operation is one rounded float32 operation
// (no fused multiply-add). All kernels are equal to the portable one bit for bit. Every value above
// is u8; an s8 tensor is its u8 twin XOR 0x80, which a kernel applies to what it reads and writes.
//
// This header is also read by files that are compiled for one ISA only: nothing in it may emit code
// of its own.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/isa.h"

namespace squeeze::qadd {

struct Add {
  uint8_t a_zero_point, b_zero_point, y_zero_point;
  uint8_t flip;            // 0x80 where the tensors are s8, else 0
  float a_ratio, b_ratio;  // a_scale / y_scale, b_scale / y_scale; below 2^20
};

struct Kernel {
  const char* name;
  Isa isa;
  void (*run)(const Add&, const uint8_t* a, const uint8_t* b, size_t count, uint8_t* y);
};

// All kernels of this build, fastest first; the last one is portable.
extern const Kernel* const kKernels[];
extern const int kKernelCount;

// The first kernel that `isa` may run.
const Kernel& SelectKernel(Isa isa);

}  // namespace squeeze::qadd
