// Three planes to pixels of three bytes, 64 pixels at a time: what a camera image meets before the
// first convolution.
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

namespace squeeze::images {

void ThreePlanesToPixels__x86_avx512vnni(const uint8_t* from, size_t pixels, uint8_t* to,
                                         uint8_t turned);

void ThreePlanesToPixels__x86_avx512vnni(const uint8_t* from, size_t pixels, uint8_t* to,
                                         uint8_t turned) {
  // Byte b of the 192 results is channel b % 3 of pixel b / 3; bit 6 of an index selects the second
  // plane.
  alignas(64) uint8_t index[3][64];
  __mmask64 third[3] = {};
  for (int b = 0; b < 192; ++b) {
    index[b / 64][b % 64] = static_cast<uint8_t>(b / 3 + (b % 3 == 1 ? 64 : 0));
    if (b % 3 == 2) third[b / 64] |= __mmask64{1} << b % 64;
  }
  const __m512i bits = _mm512_set1_epi8(static_cast<char>(turned));
  for (size_t done = 0; done < pixels; done += 64, from += 64, to += 192) {
    const size_t left = pixels - done < 64 ? pixels - done : 64;
    const __mmask64 mask = ~__mmask64{0} >> (64 - left);
    const __m512i a = _mm512_maskz_loadu_epi8(mask, from);
    const __m512i b = _mm512_maskz_loadu_epi8(mask, from + pixels);
    const __m512i c = _mm512_maskz_loadu_epi8(mask, from + 2 * pixels);
    for (size_t v = 0; v < 3; ++v) {
      const __m512i order = _mm512_load_si512(index[v]);
      __m512i bytes = _mm512_permutex2var_epi8(a, order, b);
      bytes = _mm512_mask_permutexvar_epi8(bytes, third[v], order, c);
      bytes = _mm512_xor_si512(bytes, bits);
      if (left == 64) {
        _mm512_storeu_si512(to + v * 64, bytes);
      } else if (left * 3 > v * 64) {
        const size_t rest = left * 3 - v * 64;
        _mm512_mask_storeu_epi8(to + v * 64, ~__mmask64{0} >> (rest < 64 ? 64 - rest : 0), bytes);
      }
    }
  }
}

}  // namespace squeeze::images
