// 64 sums at a time. Saturation is that of the packing instructions: a rounded sum fits 32 bits,
// and one beyond 16 bits is beyond 8 bits on the same side.
#include <immintrin.h>

#include "qadd/loop.h"

namespace squeeze::qadd {
namespace {

template <bool kSigned>
__m512 Shifted(const uint8_t* from, __m512i zero_point) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  const __m512i wide = kSigned ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes);
  return _mm512_cvtepi32_ps(_mm512_sub_epi32(wide, zero_point));
}

template <bool kSigned>
void RunBlocks(const Add& add, const uint8_t* a, const uint8_t* b, size_t count, uint8_t* y) {
  constexpr int kLowest = kSigned ? -128 : 0;
  const __m512i a_zero = _mm512_set1_epi32(add.a_zero_point + kLowest);
  const __m512i b_zero = _mm512_set1_epi32(add.b_zero_point + kLowest);
  const __m512i y_zero = _mm512_set1_epi16(static_cast<int16_t>(add.y_zero_point + kLowest));
  const __m512 a_ratio = _mm512_set1_ps(add.a_ratio), b_ratio = _mm512_set1_ps(add.b_ratio);
  // Packing interleaves the 16-byte lanes.
  const __m512i in_order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  for (size_t at = 0; at < count; at += 64) {
    const size_t i = at + 64 <= count ? at : count - 64;  // the last block overlaps the one before
    __m512i sums[4];
    for (int part = 0; part < 4; ++part) {
      const __m512 left = _mm512_mul_ps(Shifted<kSigned>(a + i + 16 * part, a_zero), a_ratio);
      const __m512 right = _mm512_mul_ps(Shifted<kSigned>(b + i + 16 * part, b_zero), b_ratio);
      sums[part] = _mm512_cvtps_epi32(_mm512_add_ps(left, right));
    }
    const __m512i low = _mm512_adds_epi16(_mm512_packs_epi32(sums[0], sums[1]), y_zero);
    const __m512i high = _mm512_adds_epi16(_mm512_packs_epi32(sums[2], sums[3]), y_zero);
    const __m512i packed = kSigned ? _mm512_packs_epi16(low, high) : _mm512_packus_epi16(low, high);
    _mm512_storeu_si512(y + i, _mm512_permutexvar_epi32(in_order, packed));
  }
}

void RunWide(const Add& add, const uint8_t* a, const uint8_t* b, size_t count, uint8_t* y) {
  if (count < 64) return Run(add, a, b, count, y);
  return add.flip ? RunBlocks<true>(add, a, b, count, y) : RunBlocks<false>(add, a, b, count, y);
}

}  // namespace

extern const Kernel any__x86_avx512vnni = {"qadd any__x86_avx512vnni", Isa::kX86Avx512Vnni,
                                           RunWide};

}  // namespace squeeze::qadd
