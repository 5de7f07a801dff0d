// 64 bytes at a time. A table of 256 entries is four registers: two permutations look up the lower
// seven bits in either half, and the top bit chooses.
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

namespace squeeze {

void TurnSigns__x86_avx512vnni(const uint8_t* from, size_t count, uint8_t* to);
void LookUp__x86_avx512vnni(const uint8_t* table, uint8_t* bytes, size_t count);

void TurnSigns__x86_avx512vnni(const uint8_t* from, size_t count, uint8_t* to) {
  const __m512i sign = _mm512_set1_epi8(-128);
  size_t i = 0;
  for (; i + 64 <= count; i += 64) {
    _mm512_storeu_si512(to + i, _mm512_xor_si512(_mm512_loadu_si512(from + i), sign));
  }
  if (i < count) {
    const __mmask64 rest = ~__mmask64{0} >> (64 - (count - i));
    const __m512i values = _mm512_maskz_loadu_epi8(rest, from + i);
    _mm512_mask_storeu_epi8(to + i, rest, _mm512_xor_si512(values, sign));
  }
}

void LookUp__x86_avx512vnni(const uint8_t* table, uint8_t* bytes, size_t count) {
  const __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64);
  const __m512i t2 = _mm512_loadu_si512(table + 128), t3 = _mm512_loadu_si512(table + 192);
  const auto look_up = [&](__m512i index) __attribute__((always_inline)) {
    const __m512i low = _mm512_permutex2var_epi8(t0, index, t1);
    const __m512i high = _mm512_permutex2var_epi8(t2, index, t3);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high);
  };
  size_t i = 0;
  for (; i + 64 <= count; i += 64) {
    _mm512_storeu_si512(bytes + i, look_up(_mm512_loadu_si512(bytes + i)));
  }
  if (i < count) {
    const __mmask64 rest = ~__mmask64{0} >> (64 - (count - i));
    const __m512i index = _mm512_maskz_loadu_epi8(rest, bytes + i);
    _mm512_mask_storeu_epi8(bytes + i, rest, look_up(index));
  }
}

}  // namespace squeeze
