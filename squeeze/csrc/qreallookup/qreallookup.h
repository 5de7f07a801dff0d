// QRealLookup: a function of float numbers, quantised, as a table over a range of them. The
// contract, for number i of a row:
//
//   at   = (x[i] + bias[i] - least) * steps_per_unit
//   y[i] = table[round(at), but from 0 to size - 1]
//
// round is half to even, what is no number is at 0, every float operation is one rounded float32
// operation (no fused multiply-add). All kernels are equal to the portable one bit for bit.
//
// This header is also read by files that are compiled for one ISA only: nothing in it may emit code
// of its own.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/isa.h"
#include "qreallookup/cells.h"

namespace squeeze::qreallookup {

// Places are whole float32 numbers in any case.
inline constexpr int64_t kMostEntries = 65536;
inline constexpr size_t kOverRead = 3;

struct Lookup {
  const float* bias;  // [width]
  size_t width;
  float least, steps_per_unit;
  const uint8_t* table;  // [size], and kOverRead bytes that are read and do not count
  size_t size;
  const Cells*
      cells;  // the same table, for kernels that keep it in registers; null where it has none
};

struct Kernel {
  const char* name;
  Isa isa;
  void (*run)(const Lookup&, const float* x, size_t rows, uint8_t* y);
};

// All kernels of this build, fastest first; the last one is portable.
extern const Kernel* const kKernels[];
extern const int kKernelCount;

// The first kernel that `isa` may run.
const Kernel& SelectKernel(Isa isa);

}  // namespace squeeze::qreallookup
