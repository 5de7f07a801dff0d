// 16 numbers in a register: all of their codes go to each lane, which shifts its own down. The
// levels are in a register; what is above a code chooses none, for they are repeated.
#include <immintrin.h>
#include <string.h>

#include "base/kernel.h"
#include "codebookgather/codebookgather.h"

namespace squeeze::codebookgather {
namespace {

constexpr size_t kAtOnce = 16;

// The lane's code in the lowest bits of each, from the codes of 16 numbers.
template <int kBits>
SQUEEZE_INLINE __m512i Codes(uint64_t bits) {
  if constexpr (kBits == 4) {
    // Of each pair of lanes bytes 0 and 4 say from which bit on to take 8.
    constexpr long long kSecond = 4LL << 32, kNext = 8 + (8LL << 32);
    const __m512i from = _mm512_setr_epi64(
        kSecond, kSecond + kNext, kSecond + 2 * kNext, kSecond + 3 * kNext, kSecond + 4 * kNext,
        kSecond + 5 * kNext, kSecond + 6 * kNext, kSecond + 7 * kNext);
    return _mm512_multishift_epi64_epi8(from, _mm512_set1_epi64(static_cast<long long>(bits)));
  } else {
    const __m512i shift =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_srlv_epi32(_mm512_set1_epi32(static_cast<int>(bits)), shift);
  }
}

template <int kBits>
SQUEEZE_INLINE void RunRow(const Table& table, size_t row, float* y) {
  constexpr size_t kBytes = kAtOnce * LowBits(kBits) / 8;
  const uint8_t* codes = table.codes + row * RowBytes(table);
  const uint8_t* high = kBits == 3 ? table.high + row * (table.width / 8) : nullptr;
  const __m512 lower = kBits == 4 ? _mm512_loadu_ps(table.levels)
                                  : _mm512_broadcast_f32x4(_mm_loadu_ps(table.levels));
  const __m512 upper = kBits == 3 ? _mm512_broadcast_f32x4(_mm_loadu_ps(table.levels + 4)) : lower;
  const __m512 scale = _mm512_set1_ps(table.scales[row]);
  const auto decoded = [&](uint64_t bits, uint16_t last) __attribute__((always_inline)) {
    const __m512i code = Codes<kBits>(bits);
    __m512 level = _mm512_permutexvar_ps(code, lower);
    if constexpr (kBits == 3) level = _mm512_mask_permutexvar_ps(level, last, code, upper);
    return _mm512_mul_ps(level, scale);
  };
  size_t i = 0;
  for (; i + kAtOnce <= table.width; i += kAtOnce, codes += kBytes) {
    uint64_t bits = 0;
    uint16_t last = 0;
    memcpy(&bits, codes, kBytes);
    if constexpr (kBits == 3) memcpy(&last, high + i / 8, sizeof last);
    _mm512_storeu_ps(y + i, decoded(bits, last));
  }
  if (const size_t left = table.width - i) {
    uint64_t bits = 0;
    memcpy(&bits, codes, left * LowBits(kBits) / 8);
    const uint16_t last = kBits == 3 ? high[i / 8] : 0;
    _mm512_mask_storeu_ps(y + i, static_cast<__mmask16>((1u << left) - 1), decoded(bits, last));
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

extern const Kernel any__x86_avx512vnni = {"codebookgather any__x86_avx512vnni",
                                           Isa::kX86Avx512Vnni, Run};

}  // namespace squeeze::codebookgather
