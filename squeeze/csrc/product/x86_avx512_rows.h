// Padded rows for the AVX-512 kernels of this folder, as they are and in phases.
#pragma once

#include "product/depthwise.h"
#include "product/x86_avx512.h"

namespace squeeze::product {

SQUEEZE_INLINE void CopyBytes(uint8_t* to, const uint8_t* from, size_t count) {
  size_t i = 0;
  for (; i + 64 <= count; i += 64) _mm512_storeu_si512(to + i, _mm512_loadu_si512(from + i));
  if (i == count) return;
  if (count >= 64) {
    _mm512_storeu_si512(to + count - 64, _mm512_loadu_si512(from + count - 64));
  } else {
    const __mmask64 mask = FirstBytes(count);
    _mm512_mask_storeu_epi8(to, mask, _mm512_maskz_loadu_epi8(mask, from));
  }
}

SQUEEZE_INLINE void FillBytes(uint8_t* to, __m512i value, size_t count) {
  size_t i = 0;
  for (; i + 64 <= count; i += 64) _mm512_storeu_si512(to + i, value);
  if (i == count) return;
  if (count >= 64) {
    _mm512_storeu_si512(to + count - 64, value);
  } else {
    _mm512_mask_storeu_epi8(to, FirstBytes(count), value);
  }
}

// CopyPaddedRow of rows.h without its calls of libc: they are a tenth of a layer with short rows.
SQUEEZE_INLINE void LayPaddedRow(const Conv& conv, const Extent& extent, const uint8_t* x,
                                 int32_t row, int32_t columns, uint8_t* to) {
  const __m512i zero_point = _mm512_set1_epi8(static_cast<char>(conv.x_zero_point));
  const size_t channels = conv.in_channels;
  const int32_t from = row - conv.pad_top;
  if (from < 0 || from >= extent.in_h) return FillBytes(to, zero_point, columns * channels);
  const int32_t left = conv.pad_left < columns ? conv.pad_left : columns;
  const int32_t inside = extent.in_w < columns - left ? extent.in_w : columns - left;
  FillBytes(to, zero_point, left * channels);
  to += left * channels;
  CopyBytes(to, x + size_t{1} * from * extent.in_w * channels, inside * channels);
  FillBytes(to + inside * channels, zero_point, (columns - left - inside) * channels);
}

struct ByteIndex {
  alignas(64) uint8_t index[64];
};

static constexpr ByteIndex MakeByteIndex() {
  ByteIndex bytes = {};
  for (int i = 0; i < 64; ++i) bytes.index[i] = static_cast<uint8_t>(i);
  return bytes;
}

static constexpr ByteIndex kBytes = MakeByteIndex();  // 0, 1, 2 ..

// `pixels` pixels, every `step`th of those from `from` on. May write up to 64 bytes too many, which
// the next copy overwrites.
SQUEEZE_INLINE void CopyPixels(const uint8_t* from, int32_t pixels, int32_t step, size_t channels,
                               uint8_t* to) {
  if (step == 2 && 64 % channels == 0) {
    // Byte b of the result is byte 2b - b % channels: `channels` is a power of two.
    const __m512i b = _mm512_load_si512(kBytes.index);
    const __m512i in_pixel = _mm512_and_si512(b, _mm512_set1_epi8(static_cast<char>(channels - 1)));
    const __m512i order = _mm512_sub_epi8(_mm512_add_epi8(b, b), in_pixel);
    const int32_t at_once = static_cast<int32_t>(64 / channels);
    for (; pixels > at_once; pixels -= at_once, from += 128, to += 64) {
      _mm512_storeu_si512(to, _mm512_permutex2var_epi8(_mm512_loadu_si512(from), order,
                                                       _mm512_loadu_si512(from + 64)));
    }
    const size_t left = pixels > 0 ? (2 * pixels - 1) * channels : 0;
    const __mmask64 low = FirstBytes(left);
    const __mmask64 high = FirstBytes(left < 64 ? 0 : left - 64);
    const __m512i rest = _mm512_maskz_loadu_epi8(high, from + (high ? 64 : 0));
    _mm512_storeu_si512(to,
                        _mm512_permutex2var_epi8(_mm512_maskz_loadu_epi8(low, from), order, rest));
    return;
  }
  for (; pixels > 0; --pixels, from += step * channels, to += channels) {
    size_t c = 0;
    for (; c + 64 <= channels; c += 64) _mm512_storeu_si512(to + c, _mm512_loadu_si512(from + c));
    const __mmask64 mask = FirstBytes(channels - c);
    if (mask) _mm512_storeu_si512(to + c, _mm512_maskz_loadu_epi8(mask, from + c));
  }
}

// One row of the padded image, in phases: see depthwise.h.
SQUEEZE_INLINE void LayPhasedRow(const Conv& conv, const Extent& extent, const Phases& phases,
                                 const PhaseColumns* all_columns, const uint8_t* x, int32_t row,
                                 uint8_t* to) {
  const int32_t in_row = row - conv.pad_top;
  if (phases.count == 1 || in_row < 0 || in_row >= extent.in_h) {
    return LayPaddedRow(conv, extent, x, row, phases.columns, to);
  }
  const size_t channels = phases.channels;
  const __m512i zero_point = _mm512_set1_epi8(static_cast<char>(conv.x_zero_point));
  const uint8_t* image_row = x + size_t{1} * in_row * extent.in_w * channels;
  for (int32_t phase = 0; phase < phases.count; ++phase) {
    const PhaseColumns& columns = all_columns[phase];
    FillBytes(to, zero_point, columns.before * channels);
    to += columns.before * channels;
    if (columns.inside) {
      CopyPixels(image_row + columns.first * channels, columns.inside, phases.count, channels, to);
    }
    to += columns.inside * channels;
    FillBytes(to, zero_point, columns.after * channels);
    to += columns.after * channels;
  }
}

}  // namespace squeeze::product
