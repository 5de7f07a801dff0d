// 16 bytes at once, a register of numbers for each part of them. The levels are in a register; bits
// above a code choose none, for they are repeated.
#include <immintrin.h>

#include "codebookgather/rows.h"

namespace squeeze::codebookgather {
namespace {

constexpr size_t kAtOnce = 16;

// `upper` of 3 bits alone.
struct Levels {
  __m512 lower, upper;
};

template <int kBits>
SQUEEZE_INLINE Levels LevelsOf(const float* levels) {
  if constexpr (kBits == 4) return {_mm512_loadu_ps(levels), _mm512_setzero_ps()};
  const __m512 lower = _mm512_broadcast_f32x4(_mm_loadu_ps(levels));
  if constexpr (kBits == 2) return {lower, lower};
  return {lower, _mm512_broadcast_f32x4(_mm_loadu_ps(levels + 4))};
}

SQUEEZE_INLINE __m512i Wide(const uint8_t* from, __mmask16 mask) {
  return _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, from));
}

template <int kBits>
SQUEEZE_INLINE void RunPiece(const Levels& levels, float scale, const Piece& piece) {
  constexpr int kLow = LowBits(kBits);
  const auto some = [&](size_t i, __mmask16 mask) __attribute__((always_inline)) {
    const __m512i codes = Wide(piece.codes + i, mask);
    const __m512i high = kBits == 3 ? Wide(piece.high + i, mask) : codes;
    for (int part = 0; part < Parts(kBits); ++part) {
      const __m512i code = _mm512_srli_epi32(codes, part * kLow);
      __m512 level = _mm512_permutexvar_ps(code, levels.lower);
      if constexpr (kBits == 3) {
        const __m512i bit = _mm512_set1_epi32(1 << (piece.first_bit + part));
        const __mmask16 third = _mm512_test_epi32_mask(high, bit);
        level = _mm512_mask_permutexvar_ps(level, third, code, levels.upper);
      }
      const __m512 made = _mm512_mul_ps(level, _mm512_set1_ps(scale));
      _mm512_mask_storeu_ps(piece.y + part * piece.stride + i, mask, made);
    }
  };
  size_t i = 0;
  for (; i + kAtOnce <= piece.count; i += kAtOnce) some(i, 0xffff);
  if (i < piece.count) some(i, static_cast<__mmask16>((1u << (piece.count - i)) - 1));
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

extern const Kernel any__x86_avx512vnni = {"codebookgather any__x86_avx512vnni",
                                           Isa::kX86Avx512Vnni, Run};

}  // namespace squeeze::codebookgather
