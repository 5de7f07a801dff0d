// Planes to pixels and back for 4, 8 and from 16 channels on, 32 pixels at a time.
//
// R vectors, one after the other, are bytes numbered by a string of bits: vector, then position.
// Interleaving vector i with vector i + R / 2 rotates that string by one bit: as many times as a
// number has bits in one half of the string exchanges the halves, and that is the transposition.
// The two 128-bit lanes hold pixels 0-15 and 16-31.
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

namespace squeeze::images {

void PlanesToPixels__x86_avx2(const uint8_t* from, size_t channels, size_t pixels, uint8_t* to,
                              uint8_t turned);
void PixelsToPlanes__x86_avx2(const uint8_t* from, size_t pixels, size_t channels, uint8_t* to);

namespace {

constexpr size_t kPixels = 32;

template <int kTimes, int R>
[[gnu::always_inline]] inline void Rotate(__m256i (&v)[R]) {
  __m256i rotated[R];
#pragma GCC unroll 8
  for (int i = 0; i < R / 2; ++i) {
    rotated[2 * i] = _mm256_unpacklo_epi8(v[i], v[i + R / 2]);
    rotated[2 * i + 1] = _mm256_unpackhi_epi8(v[i], v[i + R / 2]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) v[i] = rotated[i];
  if constexpr (kTimes > 1) Rotate<kTimes - 1>(v);
}

constexpr int Bits(int count) { return count == 1 ? 0 : 1 + Bits(count / 2); }

// 32 pixels of R channels; 16 bytes of one pixel, or of several where R is all of its channels.
template <int R>
[[gnu::always_inline]] inline void TileToPixels(const uint8_t* from, size_t plane, size_t channels,
                                                uint8_t* to, __m256i turned) {
  __m256i v[R];
#pragma GCC unroll 16
  for (int c = 0; c < R; ++c) {
    const auto* row = reinterpret_cast<const __m256i*>(from + c * plane);
    v[c] = _mm256_xor_si256(_mm256_loadu_si256(row), turned);
  }
  Rotate<Bits(R)>(v);
  const size_t step = R == 16 ? channels : 16;
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
    uint8_t* at = to + i * step;
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm256_castsi256_si128(v[i]));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at + 16 * channels),
                     _mm256_extracti128_si256(v[i], 1));
  }
}

template <int R>
[[gnu::always_inline]] inline void TileToPlanes(const uint8_t* from, size_t channels, size_t plane,
                                                uint8_t* to) {
  __m256i v[R];
  const size_t step = R == 16 ? channels : 16;
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
    const uint8_t* at = from + i * step;
    v[i] = _mm256_loadu2_m128i(reinterpret_cast<const __m128i*>(at + 16 * channels),
                               reinterpret_cast<const __m128i*>(at));
  }
  Rotate<4>(v);
#pragma GCC unroll 16
  for (int c = 0; c < R; ++c) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + c * plane), v[c]);
  }
}

// `tile(channel, pixel)` for tiles of R channels and 32 pixels that cover everything; the last ones
// are moved back to end with the image, and do a few bytes again.
template <int R, typename Tile>
[[gnu::always_inline]] inline void EachTile(size_t channels, size_t pixels, Tile tile) {
  for (size_t p = 0; p < pixels; p += kPixels) {
    const size_t pixel = p + kPixels <= pixels ? p : pixels - kPixels;
    for (size_t c = 0; c < channels; c += R) {
      tile(c + R <= channels ? c : channels - R, pixel);
    }
  }
}

template <int R>
void ToPixels(const uint8_t* from, size_t channels, size_t pixels, uint8_t* to, uint8_t turned) {
  const __m256i turned_bits = _mm256_set1_epi8(static_cast<char>(turned));
  EachTile<R>(channels, pixels, [&](size_t channel, size_t pixel) {
    TileToPixels<R>(from + channel * pixels + pixel, pixels, channels,
                    to + pixel * channels + channel, turned_bits);
  });
}

template <int R>
void ToPlanes(const uint8_t* from, size_t pixels, size_t channels, uint8_t* to) {
  EachTile<R>(channels, pixels, [&](size_t channel, size_t pixel) {
    TileToPlanes<R>(from + pixel * channels + channel, channels, pixels,
                    to + channel * pixels + pixel);
  });
}

}  // namespace

void PlanesToPixels__x86_avx2(const uint8_t* from, size_t channels, size_t pixels, uint8_t* to,
                              uint8_t turned) {
  if (channels == 4) return ToPixels<4>(from, channels, pixels, to, turned);
  if (channels == 8) return ToPixels<8>(from, channels, pixels, to, turned);
  ToPixels<16>(from, channels, pixels, to, turned);
}

void PixelsToPlanes__x86_avx2(const uint8_t* from, size_t pixels, size_t channels, uint8_t* to) {
  if (channels == 4) return ToPlanes<4>(from, pixels, channels, to);
  if (channels == 8) return ToPlanes<8>(from, pixels, channels, to);
  ToPlanes<16>(from, pixels, channels, to);
}

}  // namespace squeeze::images
