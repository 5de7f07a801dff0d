// 8 numbers in a register: all of their codes go to each lane, which shifts its own down. The
// levels are in registers; what is above a code chooses none, for they are repeated.
#include <immintrin.h>
#include <string.h>

#include "base/kernel.h"
#include "codebookgather/codebookgather.h"

namespace squeeze::codebookgather {
namespace {

constexpr size_t kAtOnce = 8;

// Levels of one table; of 2 bits there is no upper half.
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

template <int kBits>
SQUEEZE_INLINE __m256 Decoded(const Levels& levels, uint32_t codes, uint32_t high) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i shift = _mm256_slli_epi32(lane, kBits == 4 ? 2 : 1);
  const __m256i code = _mm256_srlv_epi32(_mm256_set1_epi32(static_cast<int>(codes)), shift);
  const __m256 lower = _mm256_permutevar8x32_ps(levels.lower, code);
  if constexpr (kBits == 2) return lower;
  const __m256 upper = _mm256_permutevar8x32_ps(levels.upper, code);
  // The last bit of each code, as a sign.
  const __m256i last = kBits == 4
                           ? _mm256_slli_epi32(code, 28)
                           : _mm256_sllv_epi32(_mm256_set1_epi32(static_cast<int>(high)),
                                               _mm256_sub_epi32(_mm256_set1_epi32(31), lane));
  return _mm256_blendv_ps(lower, upper, _mm256_castsi256_ps(last));
}

template <int kBits>
SQUEEZE_INLINE void RunRow(const Table& table, size_t row, float* y) {
  constexpr size_t kBytes = kAtOnce * LowBits(kBits) / 8;
  const uint8_t* codes = table.codes + row * RowBytes(table);
  const uint8_t* high = kBits == 3 ? table.high + row * (table.width / 8) : nullptr;
  const Levels levels = LevelsOf<kBits>(table.levels);
  const __m256 scale = _mm256_set1_ps(table.scales[row]);
  size_t i = 0;
  for (; i + kAtOnce <= table.width; i += kAtOnce, codes += kBytes) {
    uint32_t bits = 0;
    memcpy(&bits, codes, kBytes);
    const uint32_t bits_above = kBits == 3 ? high[i / 8] : 0;
    _mm256_storeu_ps(y + i, _mm256_mul_ps(Decoded<kBits>(levels, bits, bits_above), scale));
  }
  if (const size_t left = table.width - i) {  // never with 3 bits
    uint32_t bits = 0;
    memcpy(&bits, codes, left * LowBits(kBits) / 8);
    float some[kAtOnce];
    _mm256_storeu_ps(some, _mm256_mul_ps(Decoded<kBits>(levels, bits, 0), scale));
    memcpy(y + i, some, left * sizeof *y);
  }
}

void Run(const Table& table, size_t row, float* y) {
  if (table.bits == 4) {
    RunRow<4>(table, row, y);
  } else if (table.bits == 3) {
    RunRow<3>(table, row, y);
  } else {
    RunRow<2>(table, row, y);
  }
}

}  // namespace

extern const Kernel any__x86_avx2 = {"codebookgather any__x86_avx2", Isa::kX86Avx2, Run};

}  // namespace squeeze::codebookgather
