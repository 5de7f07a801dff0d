// QConcat: two 8-bit tensors side by side, each requantised to y. The contract.
//
//   y = sat(round((x - x_zero_point) * (x_scale / y_scale)) + y_zero_point)
//
// round is half to even, sat is to the range of the type. A byte has 256 values: op.cc makes a
// table of them, and a kernel looks them up, so that all kernels agree. Where the table changes
// nothing op.cc copies.
//
// This header is also read by files that are compiled for one ISA only: nothing in it may emit code
// of its own.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/isa.h"

namespace squeeze::qconcat {

// The y byte of every byte.
struct Table {
  uint8_t values[256];
};

// Of both: `rows` rows of `bytes` bytes, whose beginnings lie `stride` apart in y. Input rows are
// without gaps.
struct Rows {
  size_t rows, bytes, stride;
};

struct Kernel {
  const char* name;
  Isa isa;
  void (*run)(const Table&, const Rows&, const uint8_t* x, uint8_t* y);
};

// All kernels of this build, fastest first; the last one is portable.
extern const Kernel* const kKernels[];
extern const int kKernelCount;

// The first kernel that `isa` may run.
const Kernel& SelectKernel(Isa isa);

}  // namespace squeeze::qconcat
