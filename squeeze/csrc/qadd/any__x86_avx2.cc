// 32 sums at a time. Saturation is that of the packing instructions: a rounded sum fits 32 bits,
// and one beyond 16 bits is beyond 8 bits on the same side.
#include <immintrin.h>

#include "qadd/loop.h"

namespace squeeze::qadd {
namespace {

template <bool kSigned>
__m256 Shifted(const uint8_t* from, __m256i zero_point) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
  const __m256i wide = kSigned ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes);
  return _mm256_cvtepi32_ps(_mm256_sub_epi32(wide, zero_point));
}

template <bool kSigned>
void RunBlocks(const Add& add, const uint8_t* a, const uint8_t* b, size_t count, uint8_t* y) {
  constexpr int kLowest = kSigned ? -128 : 0;
  const __m256i a_zero = _mm256_set1_epi32(add.a_zero_point + kLowest);
  const __m256i b_zero = _mm256_set1_epi32(add.b_zero_point + kLowest);
  const __m256i y_zero = _mm256_set1_epi16(static_cast<int16_t>(add.y_zero_point + kLowest));
  const __m256 a_ratio = _mm256_set1_ps(add.a_ratio), b_ratio = _mm256_set1_ps(add.b_ratio);
  // Packing interleaves the 16-byte lanes.
  const __m256i in_order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  for (size_t at = 0; at < count; at += 32) {
    const size_t i = at + 32 <= count ? at : count - 32;  // the last block overlaps the one before
    __m256i sums[4];
    for (int part = 0; part < 4; ++part) {
      const __m256 left = _mm256_mul_ps(Shifted<kSigned>(a + i + 8 * part, a_zero), a_ratio);
      const __m256 right = _mm256_mul_ps(Shifted<kSigned>(b + i + 8 * part, b_zero), b_ratio);
      sums[part] = _mm256_cvtps_epi32(_mm256_add_ps(left, right));
    }
    const __m256i low = _mm256_adds_epi16(_mm256_packs_epi32(sums[0], sums[1]), y_zero);
    const __m256i high = _mm256_adds_epi16(_mm256_packs_epi32(sums[2], sums[3]), y_zero);
    const __m256i packed = kSigned ? _mm256_packs_epi16(low, high) : _mm256_packus_epi16(low, high);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + i),
                        _mm256_permutevar8x32_epi32(packed, in_order));
  }
}

void RunWide(const Add& add, const uint8_t* a, const uint8_t* b, size_t count, uint8_t* y) {
  if (count < 32) return Run(add, a, b, count, y);
  return add.flip ? RunBlocks<true>(add, a, b, count, y) : RunBlocks<false>(add, a, b, count, y);
}

}  // namespace

extern const Kernel any__x86_avx2 = {"qadd any__x86_avx2", Isa::kX86Avx2, RunWide};

}  // namespace squeeze::qadd
