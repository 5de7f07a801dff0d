// One group, for AVX2 and FMA. vpermps reads three bits of each word: two of them look up the
// halves of a table, and bit 3, moved to the sign, picks.
#include <immintrin.h>

#include "codebook/dense.h"

namespace squeeze::codebook {
namespace {

struct Avx2 {
  using Floats = __m256;
  using Bits = __m256i;
  struct Table {
    __m256 low, high;
  };
  static constexpr int kLanes = 8;
  static constexpr int kGroups = 2;
  static constexpr int Pixels(int groups) { return groups == 2 ? 6 : 12; }
  static constexpr int kFewPixels = 8;
  static constexpr int FewChannels(int pixels) { return pixels == 4 ? 2 : 4; }

  SQUEEZE_INLINE __m256i First(int32_t count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane);
  }
  SQUEEZE_INLINE Floats Zero() { return _mm256_setzero_ps(); }
  SQUEEZE_INLINE Floats Load(const float* from) { return _mm256_loadu_ps(from); }
  SQUEEZE_INLINE Floats LoadPart(const float* from, int32_t count) {
    return _mm256_maskload_ps(from, First(count));
  }
  SQUEEZE_INLINE void Store(float* to, Floats v) { _mm256_storeu_ps(to, v); }
  SQUEEZE_INLINE void StorePart(float* to, Floats v, int32_t count) {
    _mm256_maskstore_ps(to, First(count), v);
  }
  SQUEEZE_INLINE Floats Broadcast(const float* from) { return _mm256_broadcast_ss(from); }
  SQUEEZE_INLINE Floats MulAdd(Floats sum, Floats a, Floats b) {
    return _mm256_fmadd_ps(a, b, sum);
  }
  SQUEEZE_INLINE Bits LoadBits(const uint8_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  SQUEEZE_INLINE Bits Shift(Bits bits, int32_t count) {
    return _mm256_srl_epi32(bits, _mm_cvtsi32_si128(count));
  }
  SQUEEZE_INLINE Table LoadTable(const float* from) {
    return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)};
  }
  SQUEEZE_INLINE Floats Lookup(const Table& table, Bits bits) {
    const __m256 low = _mm256_permutevar8x32_ps(table.low, bits);
    const __m256 high = _mm256_permutevar8x32_ps(table.high, bits);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(bits, 28)));
  }
  SQUEEZE_INLINE void Sum4(Floats a, Floats b, Floats c, Floats d, float* to) {
    const __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    const __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    const __m256 abcd =
        _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
    _mm_storeu_ps(to, _mm_add_ps(_mm256_castps256_ps128(abcd), _mm256_extractf128_ps(abcd, 1)));
  }
  SQUEEZE_INLINE void Transpose(Floats (&v)[8]) {
    __m256 t[8];
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {  // 4 x 4 within each half of four rows
      const __m256 ab0 = _mm256_unpacklo_ps(v[i], v[i + 1]);
      const __m256 ab1 = _mm256_unpackhi_ps(v[i], v[i + 1]);
      const __m256 cd0 = _mm256_unpacklo_ps(v[i + 2], v[i + 3]);
      const __m256 cd1 = _mm256_unpackhi_ps(v[i + 2], v[i + 3]);
      t[i] = _mm256_shuffle_ps(ab0, cd0, 0x44);
      t[i + 1] = _mm256_shuffle_ps(ab0, cd0, 0xee);
      t[i + 2] = _mm256_shuffle_ps(ab1, cd1, 0x44);
      t[i + 3] = _mm256_shuffle_ps(ab1, cd1, 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {  // halves of rows i and i + 4
      v[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
      v[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
  }
};

using Kernels = Dense<Avx2>;

}  // namespace

extern const Kernel dense__x86_avx2 = {
    "codebook dense__x86_avx2",
    Isa::kX86Avx2,
    Kernels::Supports,
    Kernels::PackedBytes,
    Kernels::Pack,
    Kernels::ScratchBytes,
    Kernels::Run,
};

}  // namespace squeeze::codebook
