// 16 numbers in one register, and one instruction for 16 entries of the table.
#include <immintrin.h>

#include "base/lanes16.h"
#include "qreallookup/qreallookup.h"

namespace squeeze::qreallookup {
namespace {

void RunGathering(const Lookup& lookup, const float* x, size_t rows, uint8_t* y) {
  const __m512 least = _mm512_set1_ps(lookup.least), first = _mm512_setzero_ps();
  const __m512 steps = _mm512_set1_ps(lookup.steps_per_unit);
  const __m512 last = _mm512_set1_ps(static_cast<float>(lookup.size - 1));
  const size_t width = lookup.width;
  for (size_t row = 0; row < rows; ++row, x += width, y += width) {
    for (size_t i = 0; i < width; i += kLanes16) {
      const size_t left = width - i;
      const auto mask = static_cast<__mmask16>(left >= kLanes16 ? 0xffff : (1 << left) - 1);
      const __m512 biased = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, x + i),
                                          _mm512_maskz_loadu_ps(mask, lookup.bias + i));
      const __m512 at = _mm512_mul_ps(_mm512_sub_ps(biased, least), steps);
      // Of what is no number, max gives its second operand.
      const __m512 inside = _mm512_min_ps(_mm512_max_ps(at, first), last);
      const __m512i place = _mm512_cvtps_epi32(inside);
      const __m512i entries = _mm512_i32gather_epi32(place, lookup.table, 1);
      _mm512_mask_cvtepi32_storeu_epi8(y + i, mask, entries);
    }
  }
}

}  // namespace

extern const Kernel any__x86_avx512vnni = {"qreallookup any__x86_avx512vnni", Isa::kX86Avx512Vnni,
                                           RunGathering};

}  // namespace squeeze::qreallookup
