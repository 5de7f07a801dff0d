// 64 numbers at once where the table has cells, which are looked up in registers; else 16, with one
// instruction for their entries in memory.
#include <immintrin.h>

#include "base/lanes16.h"
#include "qreallookup/cells.h"
#include "qreallookup/qreallookup.h"

namespace squeeze::qreallookup {
namespace {

constexpr size_t kAtOnce = 64;

struct Grid {
  __m512 least, steps, first, last;
};

SQUEEZE_INLINE Grid GridOf(const Lookup& lookup) {
  return {_mm512_set1_ps(lookup.least), _mm512_set1_ps(lookup.steps_per_unit), _mm512_setzero_ps(),
          _mm512_set1_ps(static_cast<float>(lookup.size - 1))};
}

// Places of the first `left` of 16 numbers, or of all where there are more.
SQUEEZE_INLINE __m512i Places(const Grid& grid, const float* x, const float* bias, __mmask16 mask) {
  const __m512 biased =
      _mm512_add_ps(_mm512_maskz_loadu_ps(mask, x), _mm512_maskz_loadu_ps(mask, bias));
  const __m512 at = _mm512_mul_ps(_mm512_sub_ps(biased, grid.least), grid.steps);
  // Of what is no number, max gives its second operand.
  return _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(at, grid.first), grid.last));
}

SQUEEZE_INLINE uint64_t Ones(size_t count) {
  return count < 64 ? (uint64_t{1} << count) - 1 : ~uint64_t{0};
}

void RunGathering(const Lookup& lookup, const float* x, size_t rows, uint8_t* y) {
  const Grid grid = GridOf(lookup);
  const size_t width = lookup.width;
  for (size_t row = 0; row < rows; ++row, x += width, y += width) {
    for (size_t i = 0; i < width; i += kLanes16) {
      const auto mask = static_cast<__mmask16>(Ones(width - i));
      const __m512i place = Places(grid, x + i, lookup.bias + i, mask);
      const __m512i entries = _mm512_i32gather_epi32(place, lookup.table, 1);
      _mm512_mask_cvtepi32_storeu_epi8(y + i, mask, entries);
    }
  }
}

// Of a table of kCells bytes in four registers.
SQUEEZE_INLINE __m512i LookUp(const uint8_t (&table)[kCells], __m512i cell, __mmask64 upper) {
  const auto* part = reinterpret_cast<const __m512i*>(table);
  const __m512i low = _mm512_permutex2var_epi8(part[0], cell, part[1]);
  return _mm512_mask_mov_epi8(low, upper, _mm512_permutex2var_epi8(part[2], cell, part[3]));
}

// Entries of 64 cells and the places in them.
template <int kChanges>
SQUEEZE_INLINE __m512i Entries(const Cells& cells, __m512i cell, __m512i in_cell) {
  const __mmask64 upper = _mm512_movepi8_mask(cell);
  __m512i entries = LookUp(cells.base, cell, upper);
#pragma GCC unroll 4
  for (int i = 0; i < kChanges; ++i) {
    const __mmask64 behind =
        _mm512_cmpge_epu8_mask(in_cell, LookUp(cells.change[i].from, cell, upper));
    entries =
        _mm512_mask_add_epi8(entries, behind, entries, LookUp(cells.change[i].add, cell, upper));
  }
  return entries;
}

template <int kChanges>
void RunCells(const Lookup& lookup, const float* x, size_t rows, uint8_t* y) {
  const Cells& cells = *lookup.cells;
  const Grid grid = GridOf(lookup);
  const size_t width = lookup.width;
  const __m128i shift = _mm_cvtsi32_si128(cells.shift);
  const __m512i in_cell = _mm512_set1_epi16(static_cast<short>((1 << cells.shift) - 1));
  // Packing leaves groups of 4 bytes in the order of 128-bit lanes.
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const auto some = [&](size_t i, uint64_t mask) __attribute__((always_inline)) {
    __m512i place[4];
#pragma GCC unroll 4
    for (int part = 0; part < 4; ++part) {
      const size_t at = i + part * kLanes16;
      place[part] =
          Places(grid, x + at, lookup.bias + at, static_cast<__mmask16>(mask >> part * 16));
    }
    const __m512i low = _mm512_packus_epi32(place[0], place[1]);
    const __m512i high = _mm512_packus_epi32(place[2], place[3]);
    const __m512i cell =
        _mm512_packus_epi16(_mm512_srl_epi16(low, shift), _mm512_srl_epi16(high, shift));
    const __m512i rest =
        _mm512_packus_epi16(_mm512_and_si512(low, in_cell), _mm512_and_si512(high, in_cell));
    const __m512i entries = _mm512_permutexvar_epi32(order, Entries<kChanges>(cells, cell, rest));
    if (mask == ~uint64_t{0}) {
      _mm512_storeu_si512(y + i, entries);
    } else {
      _mm512_mask_storeu_epi8(y + i, mask, entries);
    }
  };
  for (size_t row = 0; row < rows; ++row, x += width, y += width) {
    size_t i = 0;
    for (; i + kAtOnce <= width; i += kAtOnce) some(i, ~uint64_t{0});
    if (i < width) some(i, Ones(width - i));
  }
}

void Run(const Lookup& lookup, const float* x, size_t rows, uint8_t* y) {
  static constexpr decltype(&RunCells<0>) kRuns[] = {RunCells<0>, RunCells<1>, RunCells<2>,
                                                     RunCells<3>, RunCells<4>};
  lookup.cells ? kRuns[lookup.cells->changes](lookup, x, rows, y)
               : RunGathering(lookup, x, rows, y);
}

}  // namespace

extern const Kernel any__x86_avx512vnni = {"qreallookup any__x86_avx512vnni", Isa::kX86Avx512Vnni,
                                           Run};

}  // namespace squeeze::qreallookup
