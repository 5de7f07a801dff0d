// The table in four registers: two permutations look up 64 bytes among 128 values each, and the top
// bit of a byte chooses between them.
#include <immintrin.h>

#include "qconcat/qconcat.h"

namespace squeeze::qconcat {
namespace {

void Run(const Table& table, const Rows& rows, const uint8_t* x, uint8_t* y) {
  __m512i part[4];
  for (int i = 0; i < 4; ++i) part[i] = _mm512_loadu_si512(table.values + 64 * i);
  for (size_t row = 0; row < rows.rows; ++row) {
    for (size_t i = 0; i < rows.bytes; i += 64) {
      const size_t left = rows.bytes - i;
      const __mmask64 valid = left < 64 ? (__mmask64{1} << left) - 1 : ~__mmask64{0};
      const __m512i bytes = _mm512_maskz_loadu_epi8(valid, x + i);
      const __m512i below = _mm512_permutex2var_epi8(part[0], bytes, part[1]);
      const __m512i above = _mm512_permutex2var_epi8(part[2], bytes, part[3]);
      const __m512i looked_up = _mm512_mask_blend_epi8(_mm512_movepi8_mask(bytes), below, above);
      _mm512_mask_storeu_epi8(y + i, valid, looked_up);
    }
    x += rows.bytes;
    y += rows.stride;
  }
}

}  // namespace

extern const Kernel any__x86_avx512vnni = {"qconcat any__x86_avx512vnni", Isa::kX86Avx512Vnni, Run};

}  // namespace squeeze::qconcat
