// How a row is gone through. Each kernel file compiles its own copy, for its ISA.
#pragma once

#include "base/kernel.h"
#include "codebookgather/codebookgather.h"

namespace squeeze::codebookgather {
namespace {

// Bytes of a row whose third bits, if they have some, are in as many bytes of `high`, from bit
// `first_bit` on; their numbers go to y, y + stride, ...
struct Piece {
  const uint8_t *codes, *high;
  int first_bit;
  size_t count, stride;
  float* y;
};

// each(piece) for all of row `row`.
template <int kBits, typename Each>
SQUEEZE_INLINE void EachPiece(const Table& table, size_t row, float* y, const Each& each) {
  const size_t bytes = table.width / Parts(kBits);
  const uint8_t* codes = table.codes + row * bytes;
  if constexpr (kBits == 3) {
    const size_t half = bytes / 2;
    const uint8_t* high = table.high + row * half;
    each(Piece{codes, high, 0, half, bytes, y});
    each(Piece{codes + half, high, 4, half, bytes, y + half});
  } else {
    each(Piece{codes, nullptr, 0, bytes, bytes, y});
  }
}

// run.operator()<bits>(), of a table's bits.
template <typename Run>
SQUEEZE_INLINE void WithBits(const Table& table, const Run& run) {
  if (table.bits == 4) return run.template operator()<4>();
  if (table.bits == 3) return run.template operator()<3>();
  run.template operator()<2>();
}

}  // namespace
}  // namespace squeeze::codebookgather
