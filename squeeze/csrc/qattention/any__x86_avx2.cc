// Two products of 16-bit numbers per lane and instruction, which is exact; that of bytes saturates.
#include <immintrin.h>

#include "qattention/head.h"

namespace squeeze::qattention {
namespace {

struct Pairs {
  using X = int16_t;
  using W = int16_t;
  static constexpr size_t kStep = 2;

  static void Dot(const X* x, size_t pitch, const W* w, size_t steps, int32_t* sums) {
    constexpr size_t kAtOnce = 4;  // rows, of two registers each
    for (size_t first = 0; first < kRows; first += kAtOnce) {
      __m256i sum[kAtOnce][2];
#pragma GCC unroll 4
      for (size_t r = 0; r < kAtOnce; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
      for (size_t step = 0; step < steps; ++step) {
        const auto* right = reinterpret_cast<const __m256i*>(w + step * kLanes16 * kStep);
        const __m256i low = _mm256_loadu_si256(right), high = _mm256_loadu_si256(right + 1);
#pragma GCC unroll 4
        for (size_t r = 0; r < kAtOnce; ++r) {
          int32_t pair;
          memcpy(&pair, x + (first + r) * pitch + step * kStep, 4);
          const __m256i left = _mm256_set1_epi32(pair);
          sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(left, low));
          sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(left, high));
        }
      }
#pragma GCC unroll 4
      for (size_t r = 0; r < kAtOnce; ++r) {
        auto* to = reinterpret_cast<__m256i*>(sums + (first + r) * kLanes16);
        _mm256_storeu_si256(to, sum[r][0]), _mm256_storeu_si256(to + 1, sum[r][1]);
      }
    }
  }
};

}  // namespace

extern const Kernel any__x86_avx2 = {"qattention any__x86_avx2", Isa::kX86Avx2, ScratchBytes<Pairs>,
                                     Run<Pairs>};

}  // namespace squeeze::qattention
