// 8 bytes at once, a register of numbers for each part of them. The levels are in registers; bits
// above a code choose none, for they are repeated.
#include <immintrin.h>
#include <string.h>

#include "codebookgather/rows.h"

namespace squeeze::codebookgather {
namespace {

constexpr size_t kAtOnce = 8;

// Of 2 bits both are the same.
struct Levels {
  __m256 lower, upper;
};

template <int kBits>
SQUEEZE_INLINE Levels LevelsOf(const float* levels) {
  if constexpr (kBits == 4) return {_mm256_loadu_ps(levels), _mm256_loadu_ps(levels + 8)};
  const __m256 lower = _mm256_broadcast_ps(reinterpret_cast<const __m128*>(levels));
  if constexpr (kBits == 2) return {lower, lower};
  return {lower, _mm256_broadcast_ps(reinterpret_cast<const __m128*>(levels + 4))};
}

// Bit `bit` of each chooses.
SQUEEZE_INLINE __m256 Chosen(__m256 lower, __m256 upper, __m256i of, int bit) {
  const __m256i sign = _mm256_sll_epi32(of, _mm_cvtsi32_si128(31 - bit));
  return _mm256_blendv_ps(lower, upper, _mm256_castsi256_ps(sign));
}

SQUEEZE_INLINE __m256i Wide(const uint8_t* from, size_t count) {
  uint64_t bytes = 0;
  memcpy(&bytes, from, count);
  return _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(bytes)));
}

template <int kBits>
SQUEEZE_INLINE void RunPiece(const Levels& levels, float scale, const Piece& piece) {
  constexpr int kLow = LowBits(kBits);
  const auto some = [&](size_t i, size_t count) __attribute__((always_inline)) {
    const __m256i codes = Wide(piece.codes + i, count);
    const __m256i high = kBits == 3 ? Wide(piece.high + i, count) : codes;
    for (int part = 0; part < Parts(kBits); ++part) {
      const __m256i code = _mm256_srli_epi32(codes, part * kLow);
      __m256 level = _mm256_permutevar8x32_ps(levels.lower, code);
      if constexpr (kBits != 2) {
        const __m256 upper = _mm256_permutevar8x32_ps(levels.upper, code);
        level = kBits == 4 ? Chosen(level, upper, code, 3)
                           : Chosen(level, upper, high, piece.first_bit + part);
      }
      const __m256 made = _mm256_mul_ps(level, _mm256_set1_ps(scale));
      float* y = piece.y + part * piece.stride + i;
      if (count == kAtOnce) {
        _mm256_storeu_ps(y, made);
      } else {
        float padded[kAtOnce];
        _mm256_storeu_ps(padded, made);
        memcpy(y, padded, count * sizeof *y);
      }
    }
  };
  size_t i = 0;
  for (; i + kAtOnce <= piece.count; i += kAtOnce) some(i, kAtOnce);
  if (i < piece.count) some(i, piece.count - i);
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

extern const Kernel any__x86_avx2 = {"codebookgather any__x86_avx2", Isa::kX86Avx2, Run};

}  // namespace squeeze::codebookgather
