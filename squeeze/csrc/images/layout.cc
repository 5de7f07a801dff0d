#include "images/layout.h"

namespace squeeze::images {

#if defined(__x86_64__)
void ThreePlanesToPixels__x86_avx512vnni(const uint8_t* from, size_t pixels, uint8_t* to,
                                         uint8_t turned);
void PlanesToPixels__x86_avx2(const uint8_t* from, size_t channels, size_t pixels, uint8_t* to,
                              uint8_t turned);
void PixelsToPlanes__x86_avx2(const uint8_t* from, size_t pixels, size_t channels, uint8_t* to);
#endif

namespace {

// [rows, columns] -> [columns, rows], by tiles that stay in the first-level cache.
void Transpose(const uint8_t* from, size_t rows, size_t columns, uint8_t* to, uint8_t turned) {
  constexpr size_t kTile = 64;
  for (size_t c0 = 0; c0 < columns; c0 += kTile) {
    const size_t c1 = c0 + kTile < columns ? c0 + kTile : columns;
    for (size_t r0 = 0; r0 < rows; r0 += kTile) {
      const size_t r1 = r0 + kTile < rows ? r0 + kTile : rows;
      for (size_t c = c0; c < c1; ++c) {
        for (size_t r = r0; r < r1; ++r) to[c * rows + r] = from[r * columns + c] ^ turned;
      }
    }
  }
}

#if defined(__x86_64__)
// What the AVX2 tiles are made for.
bool FitsTiles(Isa isa, size_t channels, size_t pixels) {
  return isa >= Isa::kX86Avx2 && pixels >= 32 && (channels >= 16 || channels == 8 || channels == 4);
}
#endif

}  // namespace

void ToChannelsLast([[maybe_unused]] Isa isa, const uint8_t* from, size_t images, size_t channels,
                    size_t pixels, uint8_t* to, uint8_t turned) {
  auto* turn = Transpose;
#if defined(__x86_64__)
  if (channels == 3 && isa >= Isa::kX86Avx512Vnni) {
    turn = [](const uint8_t* planes, size_t, size_t count, uint8_t* out, uint8_t bits) {
      ThreePlanesToPixels__x86_avx512vnni(planes, count, out, bits);
    };
  } else if (FitsTiles(isa, channels, pixels)) {
    turn = PlanesToPixels__x86_avx2;
  }
#endif
  for (size_t i = 0; i < images; ++i, from += channels * pixels, to += channels * pixels) {
    turn(from, channels, pixels, to, turned);
  }
}

void ToChannelsFirst([[maybe_unused]] Isa isa, const uint8_t* from, size_t images, size_t channels,
                     size_t pixels, uint8_t* to) {
  for (size_t i = 0; i < images; ++i, from += channels * pixels, to += channels * pixels) {
#if defined(__x86_64__)
    if (FitsTiles(isa, channels, pixels)) {
      PixelsToPlanes__x86_avx2(from, pixels, channels, to);
      continue;
    }
#endif
    Transpose(from, pixels, channels, to, 0);
  }
}

}  // namespace squeeze::images
