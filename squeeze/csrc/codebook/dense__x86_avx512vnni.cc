// One group, for AVX-512 (its float instructions; the cluster's name is that of its newest part).
// A lookup is one vpermps: it reads the low four bits of each word and nothing else.
#include <immintrin.h>

#include "codebook/dense.h"

namespace squeeze::codebook {
namespace {

struct Avx512 {
  using Floats = __m512;
  using Bits = __m512i;
  using Table = __m512;
  static constexpr int kLanes = 16;
  static constexpr int kGroups = 2;
  static constexpr int Pixels(int groups) { return groups == 2 ? 12 : 16; }
  static constexpr int kFewPixels = 32;
  static constexpr int FewChannels(int pixels) { return pixels == 1 ? 8 : 4; }

  SQUEEZE_INLINE __mmask16 First(int32_t count) {
    return static_cast<__mmask16>((1u << count) - 1);
  }
  SQUEEZE_INLINE Floats Zero() { return _mm512_setzero_ps(); }
  SQUEEZE_INLINE Floats Load(const float* from) { return _mm512_loadu_ps(from); }
  SQUEEZE_INLINE Floats LoadPart(const float* from, int32_t count) {
    return _mm512_maskz_loadu_ps(First(count), from);
  }
  SQUEEZE_INLINE void Store(float* to, Floats v) { _mm512_storeu_ps(to, v); }
  SQUEEZE_INLINE void StorePart(float* to, Floats v, int32_t count) {
    _mm512_mask_storeu_ps(to, First(count), v);
  }
  SQUEEZE_INLINE Floats Broadcast(const float* from) { return _mm512_set1_ps(*from); }
  SQUEEZE_INLINE Floats MulAdd(Floats sum, Floats a, Floats b) {
    return _mm512_fmadd_ps(a, b, sum);
  }
  SQUEEZE_INLINE Bits LoadBits(const uint8_t* from) { return _mm512_loadu_si512(from); }
  SQUEEZE_INLINE Bits Shift(Bits bits, int32_t count) {
    return _mm512_srl_epi32(bits, _mm_cvtsi32_si128(count));
  }
  SQUEEZE_INLINE Table LoadTable(const float* from) { return _mm512_loadu_ps(from); }
  SQUEEZE_INLINE Floats Lookup(Table table, Bits bits) {
    return _mm512_permutexvar_ps(bits, table);
  }
  SQUEEZE_INLINE void Sum4(Floats a, Floats b, Floats c, Floats d, float* to) {
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const __m512 abcd =
        _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
    const __m256 half =
        _mm256_add_ps(_mm512_castps512_ps256(abcd), _mm512_extractf32x8_ps(abcd, 1));
    _mm_storeu_ps(to, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
  }
  SQUEEZE_INLINE void Transpose(Floats (&v)[16]) {
    __m512 t[16];
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {  // 4 x 4 within each quarter of four rows
      const __m512 ab0 = _mm512_unpacklo_ps(v[i], v[i + 1]);
      const __m512 ab1 = _mm512_unpackhi_ps(v[i], v[i + 1]);
      const __m512 cd0 = _mm512_unpacklo_ps(v[i + 2], v[i + 3]);
      const __m512 cd1 = _mm512_unpackhi_ps(v[i + 2], v[i + 3]);
      t[i] = _mm512_shuffle_ps(ab0, cd0, 0x44);
      t[i + 1] = _mm512_shuffle_ps(ab0, cd0, 0xee);
      t[i + 2] = _mm512_shuffle_ps(ab1, cd1, 0x44);
      t[i + 3] = _mm512_shuffle_ps(ab1, cd1, 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {  // quarters of rows i, i + 4, i + 8, i + 12
      const __m512 a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88);
      const __m512 b = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd);
      const __m512 c = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88);
      const __m512 d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xdd);
      v[i] = _mm512_shuffle_f32x4(a, c, 0x88);
      v[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
      v[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
      v[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
  }
};

using Kernels = Dense<Avx512>;

}  // namespace

extern const Kernel dense__x86_avx512vnni = {
    "codebook dense__x86_avx512vnni",
    Isa::kX86Avx512Vnni,
    Kernels::Supports,
    Kernels::PackedBytes,
    Kernels::Pack,
    Kernels::ScratchBytes,
    Kernels::Run,
};

}  // namespace squeeze::codebook
