// 32 bytes at a time against 16 slices of the table. Of each slice a byte finds either its entry or
// zero: a byte outside of the slice has its top bit set by the saturating addition.
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

namespace squeeze {

void LookUp__x86_avx2(const uint8_t* table, uint8_t* bytes, size_t count);

void LookUp__x86_avx2(const uint8_t* table, uint8_t* bytes, size_t count) {
  const __m256i outside = _mm256_set1_epi8(0x70);
  size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    auto* at = reinterpret_cast<__m256i*>(bytes + i);
    const __m256i index = _mm256_loadu_si256(at);
    __m256i found = _mm256_setzero_si256();
#pragma GCC unroll 16
    for (int slice = 0; slice < 16; ++slice) {
      const __m256i entries = _mm256_broadcastsi128_si256(
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(table + slice * 16)));
      const __m256i place =
          _mm256_xor_si256(index, _mm256_set1_epi8(static_cast<char>(slice * 16)));
      found =
          _mm256_or_si256(found, _mm256_shuffle_epi8(entries, _mm256_adds_epu8(place, outside)));
    }
    _mm256_storeu_si256(at, found);
  }
  for (; i < count; ++i) bytes[i] = table[bytes[i]];
}

}  // namespace squeeze
