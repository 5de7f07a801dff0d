// CodebookGather2, 3 and 4: rows of a table whose numbers are codes of 2, 3 or 4 bits for levels
// that the whole table shares, times a scale of the row. The contract, for number i of a row:
//
//   y[i] = levels[code i] * scale
//
// Byte j of a row in `codes`, which has n / parts of them (parts is 2 with 4 bits, else 4), holds
// numbers j, j + n / parts, j + 2 n / parts, ..., the first in its lowest bits: what is taken out
// of all bytes at once lies side by side. Of 3 bits the lower two are there; bits p and 4 + p of
// byte j in `high`, which has n / 8 a row, are the third bits of number p of bytes j and j + n / 8.
// The product is one rounded float32 operation: all kernels are equal to the portable one bit for
// bit.
//
// This header is also read by files that are compiled for one ISA only: nothing in it may emit code
// of its own.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/isa.h"

namespace squeeze::codebookgather {

struct Table {
  int bits;              // 2, 3 or 4
  size_t width;          // such that rows are whole bytes
  const uint8_t* codes;  // [rows, width / Parts(bits)]
  const uint8_t* high;   // [rows, width / 8], of 3 bits alone
  const float* levels;   // [2^bits]
  const float* scales;   // [rows]
};

// Of `bits` those that are in `codes`, and the numbers of a byte there.
constexpr int LowBits(int bits) { return bits == 4 ? 4 : 2; }
constexpr int Parts(int bits) { return 8 / LowBits(bits); }

struct Kernel {
  const char* name;
  Isa isa;
  // y: [width], row `row` of the table.
  void (*run)(const Table&, size_t row, float* y);
};

// All kernels of this build, fastest first; the last one is portable.
extern const Kernel* const kKernels[];
extern const int kKernelCount;

// The first kernel that `isa` may run.
const Kernel& SelectKernel(Isa isa);

}  // namespace squeeze::codebookgather
