// CodebookGather2, 3 and 4: rows of a table whose numbers are codes of 2, 3 or 4 bits for levels
// that the whole table shares, times a scale of the row. The contract, for number i of a row:
//
//   y[i] = levels[code i] * scale
//
// Code i of 4 or 2 bits is bits i * bits to i * bits + bits - 1 of the row, the least significant
// first. Of 3 bits the lower two are stored so, and the third is bit i of the row in `high`. The
// product is one rounded float32 operation: all kernels are equal to the portable one bit for bit.
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
  const uint8_t* codes;  // [rows, RowBytes]
  const uint8_t* high;   // [rows, width / 8], of 3 bits alone
  const float* levels;   // [2^bits]
  const float* scales;   // [rows]
};

// Of `bits` those that are in `codes`.
constexpr int LowBits(int bits) { return bits == 4 ? 4 : 2; }
constexpr size_t RowBytes(const Table& table) { return table.width * LowBits(table.bits) / 8; }

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
