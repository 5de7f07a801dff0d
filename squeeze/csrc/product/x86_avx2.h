// What the AVX2 kernels of this folder share: padded rows of 16-bit values, the dot product,
// requantisation. Internal linkage only: a weak copy of a function compiled for AVX2 must never be
// picked by the linker for the whole library.
#pragma once

#include <immintrin.h>

#include "product/rows.h"

namespace squeeze::product {

// acc += dot2(s16 x, s16 w), exact: u8 times s8 never reaches the one sum that wraps.
SQUEEZE_INLINE __m256i Dot2(__m256i acc, __m256i x, __m256i w) {
  return _mm256_add_epi32(acc, _mm256_madd_epi16(x, w));
}

SQUEEZE_INLINE __m256i Load256(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

SQUEEZE_INLINE __m128i Load128(const void* from) {
  return _mm_loadu_si128(static_cast<const __m128i*>(from));
}

// Constants of the requantisation in registers.
struct Requant {
  __m256 low, high, conv_ratio, residual_ratio;
  __m256i residual_zero_point, zero_point;
};

SQUEEZE_INLINE Requant MakeRequant(const Conv& conv) {
  const int zero_point = conv.has_residual ? conv.y_zero_point : conv.conv_zero_point;
  return {
      _mm256_set1_ps(static_cast<float>(-conv.conv_zero_point)),
      _mm256_set1_ps(static_cast<float>(255 - conv.conv_zero_point)),
      _mm256_set1_ps(conv.conv_ratio),
      _mm256_set1_ps(conv.residual_ratio),
      _mm256_set1_epi32(conv.residual_zero_point),
      _mm256_set1_epi16(static_cast<short>(zero_point)),
  };
}

SQUEEZE_INLINE __m256 ScaleToReal(__m256i acc, __m256 multiplier) {
  return _mm256_mul_ps(_mm256_cvtepi32_ps(acc), multiplier);
}

// 8 rounded results before the zero point is added.
SQUEEZE_INLINE __m256i Scale(__m256i acc, __m256 multiplier) {
  return _mm256_cvtps_epi32(ScaleToReal(acc, multiplier));
}

// `residual`: 8 values.
SQUEEZE_INLINE __m256i ScaleAndAdd(__m256i acc, __m256 multiplier, __m256i residual,
                                   const Requant& q) {
  __m256 conv = ScaleToReal(acc, multiplier);
  conv = _mm256_min_ps(_mm256_max_ps(conv, q.low), q.high);
  conv = _mm256_round_ps(conv, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m256i r = _mm256_sub_epi32(residual, q.residual_zero_point);
  const __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(r), q.residual_ratio);
  return _mm256_cvtps_epi32(_mm256_add_ps(_mm256_mul_ps(conv, q.conv_ratio), scaled));
}

// 2 x 8 results, zero point added, as 16-bit values; order within 128-bit lanes is a[0..3] b[0..3].
SQUEEZE_INLINE __m256i AddZeroPoint(__m256i a, __m256i b, const Requant& q) {
  return _mm256_adds_epi16(_mm256_packs_epi32(a, b), q.zero_point);
}

// Stores `valid` bytes of 16.
SQUEEZE_INLINE void StoreSome(__m128i bytes, int32_t valid, uint8_t* y) {
  if (valid == 16) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y), bytes);
  } else if (valid == 8) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(y), bytes);
  } else {
    alignas(16) uint8_t some[16];
    _mm_store_si128(reinterpret_cast<__m128i*>(some), bytes);
    for (int32_t i = 0; i < valid; ++i) y[i] = some[i];
  }
}

// The first `valid` of 8 numbers, or all where there are more.
SQUEEZE_INLINE void StoreReals(__m256 reals, int32_t valid, float* y) {
  if (valid >= 8) {
    _mm256_storeu_ps(y, reals);
  } else {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_maskstore_ps(y, _mm256_cmpgt_epi32(_mm256_set1_epi32(valid), lanes), reals);
  }
}

SQUEEZE_INLINE __m128i LoadSome(const uint8_t* from, int32_t valid) {
  if (valid == 16) return Load128(from);
  alignas(16) uint8_t some[16] = {};
  for (int32_t i = 0; i < valid; ++i) some[i] = from[i];
  return Load128(some);
}

SQUEEZE_INLINE void WidenBytes(const uint8_t* from, size_t count, uint16_t* to) {
  size_t i = 0;
  const auto sixteen = [&](size_t at) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + at),
                        _mm256_cvtepu8_epi16(Load128(from + at)));
  };
  for (; i + 16 <= count; i += 16) sixteen(i);
  if (i == count) return;
  if (count >= 16) return sixteen(count - 16);
  for (; i < count; ++i) to[i] = from[i];
}

SQUEEZE_INLINE void FillWide(uint16_t value, size_t count, uint16_t* to) {
  for (size_t i = 0; i < count; ++i) to[i] = value;
}

// CopyPaddedRow of rows.h to 16-bit values.
SQUEEZE_INLINE void WidenPaddedRow(const Conv& conv, const Extent& extent, const uint8_t* x,
                                   int32_t row, int32_t columns, uint16_t* to) {
  const size_t channels = conv.in_channels;
  const int32_t from = row - conv.pad_top;
  if (from < 0 || from >= extent.in_h) return FillWide(conv.x_zero_point, columns * channels, to);
  const int32_t left = conv.pad_left < columns ? conv.pad_left : columns;
  const int32_t inside = extent.in_w < columns - left ? extent.in_w : columns - left;
  FillWide(conv.x_zero_point, left * channels, to);
  WidenBytes(x + size_t{1} * from * extent.in_w * channels, inside * channels,
             to + left * channels);
  FillWide(conv.x_zero_point, (columns - left - inside) * channels,
           to + (left + inside) * channels);
}

}  // namespace squeeze::product
