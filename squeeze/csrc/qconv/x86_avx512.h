// What the AVX-512 kernels of this folder share: padded rows, the dot product, requantisation.
// Internal linkage only: a weak copy of a function compiled for AVX-512 must never be picked by the
// linker for the whole library.
#pragma once

#include <immintrin.h>
#include <string.h>

#include "qconv/qconv.h"

#define SQUEEZE_INLINE [[gnu::always_inline]] static inline

namespace squeeze::qconv {

// acc += dot4(u8 x, s8 w). Assembler because GCC 12 copies the accumulator around the intrinsic in
// unrolled blocks.
SQUEEZE_INLINE void Dot4(__m512i& acc, __m512i x, __m512i w) {
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(w));
}

// Constants of the requantisation in registers.
struct Requant {
  __m512 low, high, conv_ratio, residual_ratio;
  __m512i residual_zero_point, zero_point;
};

SQUEEZE_INLINE Requant MakeRequant(const Conv& conv) {
  const int zero_point = conv.has_residual ? conv.y_zero_point : conv.conv_zero_point;
  return {
      _mm512_set1_ps(static_cast<float>(-conv.conv_zero_point)),
      _mm512_set1_ps(static_cast<float>(255 - conv.conv_zero_point)),
      _mm512_set1_ps(conv.conv_ratio),
      _mm512_set1_ps(conv.residual_ratio),
      _mm512_set1_epi32(conv.residual_zero_point),
      _mm512_set1_epi16(static_cast<short>(zero_point)),
  };
}

// 16 rounded results before the zero point is added.
SQUEEZE_INLINE __m512i Scale(__m512i acc, __m512 multiplier) {
  return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(acc), multiplier));
}

SQUEEZE_INLINE __m512i ScaleAndAdd(__m512i acc, __m512 multiplier, __m128i residual,
                                   const Requant& q) {
  __m512 conv = _mm512_mul_ps(_mm512_cvtepi32_ps(acc), multiplier);
  conv = _mm512_min_ps(_mm512_max_ps(conv, q.low), q.high);
  conv = _mm512_roundscale_ps(conv, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512i r = _mm512_sub_epi32(_mm512_cvtepu8_epi32(residual), q.residual_zero_point);
  const __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(r), q.residual_ratio);
  return _mm512_cvtps_epi32(_mm512_add_ps(_mm512_mul_ps(conv, q.conv_ratio), scaled));
}

// 4 x 16 results, zero point added and saturated; byte order within 128-bit lanes is a[0..3]
// b[0..3] c[0..3] d[0..3].
SQUEEZE_INLINE __m512i PackLanes(__m512i a, __m512i b, __m512i c, __m512i d, const Requant& q) {
  const __m512i ab = _mm512_adds_epi16(_mm512_packs_epi32(a, b), q.zero_point);
  const __m512i cd = _mm512_adds_epi16(_mm512_packs_epi32(c, d), q.zero_point);
  return _mm512_packus_epi16(ab, cd);
}

// The same in the order a[0..15] b[0..15] c[0..15] d[0..15].
SQUEEZE_INLINE __m512i Pack(__m512i a, __m512i b, __m512i c, __m512i d, const Requant& q) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_epi32(order, PackLanes(a, b, c, d, q));
}

SQUEEZE_INLINE int32_t RoundUp(int32_t value, int32_t step) {
  return (value + step - 1) / step * step;
}

// The rows of the padded image that output rows begin .. end - 1 read: first row and count.
struct Rows {
  int32_t first, count;
};

SQUEEZE_INLINE Rows RowsFor(const Conv& conv, int32_t begin, int32_t end) {
  return {begin * conv.stride_h,
          (end - begin - 1) * conv.stride_h + (conv.kernel_h - 1) * conv.dilation_h + 1};
}

// Copies one row of the padded image, all `columns` of them, to `to`; `row` counts from the top of
// the padding.
SQUEEZE_INLINE void CopyPaddedRow(const Conv& conv, const Extent& extent, const uint8_t* x,
                                  int32_t row, int32_t columns, uint8_t* to) {
  const size_t channels = conv.in_channels;
  const int32_t from = row - conv.pad_top;
  if (from < 0 || from >= extent.in_h) {
    memset(to, conv.x_zero_point, columns * channels);
    return;
  }
  const int32_t left = conv.pad_left < columns ? conv.pad_left : columns;
  const int32_t inside = extent.in_w < columns - left ? extent.in_w : columns - left;
  memset(to, conv.x_zero_point, left * channels);
  memcpy(to + left * channels, x + size_t{1} * from * extent.in_w * channels, inside * channels);
  memset(to + (left + inside) * channels, conv.x_zero_point, (columns - left - inside) * channels);
}

// bias - x_zero_point * sum(w): kernels then run on raw u8, with the border filled with
// x_zero_point.
SQUEEZE_INLINE int32_t FoldedBias(const Conv& conv, const Weights& weights, int32_t output) {
  const size_t per_output =
      size_t{1} * (conv.in_channels / conv.groups) * conv.kernel_h * conv.kernel_w;
  uint32_t sum = 0;
  for (size_t i = 0; i < per_output; ++i) {
    sum += static_cast<uint32_t>(weights.w[output * per_output + i]);
  }
  return static_cast<int32_t>(static_cast<uint32_t>(weights.bias[output]) -
                              conv.x_zero_point * sum);
}

}  // namespace squeeze::qconv
