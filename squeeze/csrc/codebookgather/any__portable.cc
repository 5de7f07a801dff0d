// For every CPU, number by number.
#include "codebookgather/rows.h"

namespace squeeze::codebookgather {
namespace {

template <int kBits>
SQUEEZE_INLINE const float* LevelsOf(const float* levels) {
  return levels;
}

template <int kBits>
SQUEEZE_INLINE void RunPiece(const float* __restrict levels, float scale, const Piece& piece) {
  constexpr int kLow = LowBits(kBits), kMask = (1 << kLow) - 1;
  for (int part = 0; part < Parts(kBits); ++part) {
    float* __restrict y = piece.y + part * piece.stride;
    for (size_t i = 0; i < piece.count; ++i) {
      int code = piece.codes[i] >> part * kLow & kMask;
      if (kBits == 3) code |= (piece.high[i] >> (piece.first_bit + part) & 1) << 2;
      y[i] = levels[code] * scale;
    }
  }
}

void Run(const Table& table, size_t row, float* y) {
  WithBits(table, [&]<int kBits>() __attribute__((always_inline)) {
    const auto levels = LevelsOf<kBits>(table.levels);
    const float scale = table.scales[row];
    EachPiece<kBits>(table, row, y, [&](const Piece& piece) __attribute__((always_inline)) {
      RunPiece<kBits>(levels, scale, piece);
    });
  });
}

}  // namespace

extern const Kernel any__portable = {"codebookgather any__portable", Isa::kPortable, Run};

}  // namespace squeeze::codebookgather
