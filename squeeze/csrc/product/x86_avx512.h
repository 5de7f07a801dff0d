// What the AVX-512 kernels of this folder share: the dot product, requantisation.
// Internal linkage only: a weak copy of a function compiled for AVX-512 must never be picked by the
// linker for the whole library.
#pragma once

#include <immintrin.h>

#include "product/rows.h"

namespace squeeze::product {

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

SQUEEZE_INLINE __m512 ScaleToReal(__m512i acc, __m512 multiplier) {
  return _mm512_mul_ps(_mm512_cvtepi32_ps(acc), multiplier);
}

// 16 rounded results before the zero point is added.
SQUEEZE_INLINE __m512i Scale(__m512i acc, __m512 multiplier) {
  return _mm512_cvtps_epi32(ScaleToReal(acc, multiplier));
}

// `residual`: 16 values.
SQUEEZE_INLINE __m512i ScaleAndAdd(__m512i acc, __m512 multiplier, __m512i residual,
                                   const Requant& q) {
  __m512 conv = ScaleToReal(acc, multiplier);
  conv = _mm512_min_ps(_mm512_max_ps(conv, q.low), q.high);
  conv = _mm512_roundscale_ps(conv, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512i r = _mm512_sub_epi32(residual, q.residual_zero_point);
  const __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(r), q.residual_ratio);
  return _mm512_cvtps_epi32(_mm512_add_ps(_mm512_mul_ps(conv, q.conv_ratio), scaled));
}

SQUEEZE_INLINE __m512i ScaleAndAdd(__m512i acc, __m512 multiplier, __m128i residual,
                                   const Requant& q) {
  return ScaleAndAdd(acc, multiplier, _mm512_cvtepu8_epi32(residual), q);
}

// The mask of the first `count` bytes of a vector, or of all where there are more.
SQUEEZE_INLINE __mmask64 FirstBytes(size_t count) {
  return count < 64 ? (__mmask64{1} << count) - 1 : ~__mmask64{0};
}

// The bytes of `mask`. Whole vectors go without a mask: some CPUs take many cycles for a masked
// store.
SQUEEZE_INLINE void StoreBytes(uint8_t* to, __mmask64 mask, __m512i bytes) {
  if (mask == ~__mmask64{0}) {
    _mm512_storeu_si512(to, bytes);
  } else {
    _mm512_mask_storeu_epi8(to, mask, bytes);
  }
}

SQUEEZE_INLINE void StoreBytes(uint8_t* to, __mmask16 mask, __m128i bytes) {
  if (mask == 0xffff) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
  } else {
    _mm_mask_storeu_epi8(to, mask, bytes);
  }
}

SQUEEZE_INLINE void StoreReals(float* to, __mmask16 mask, __m512 reals) {
  if (mask == 0xffff) {
    _mm512_storeu_ps(to, reals);
  } else {
    _mm512_mask_storeu_ps(to, mask, reals);
  }
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

}  // namespace squeeze::product
