#include "codebook/planes.h"

namespace squeeze::codebook {
namespace {

// [rows, columns] -> [columns, rows], by tiles that stay in the first-level cache.
void Transpose(const float* from, size_t rows, size_t columns, float* to) {
  constexpr size_t kTile = 16;  // 16 floats are a line of the cache
  for (size_t r0 = 0; r0 < rows; r0 += kTile) {
    const size_t r1 = r0 + kTile < rows ? r0 + kTile : rows;
    for (size_t c0 = 0; c0 < columns; c0 += kTile) {
      const size_t c1 = c0 + kTile < columns ? c0 + kTile : columns;
      for (size_t c = c0; c < c1; ++c) {
        for (size_t r = r0; r < r1; ++r) to[c * rows + r] = from[r * columns + c];
      }
    }
  }
}

}  // namespace

void ToChannelsLast(const float* from, size_t images, size_t channels, size_t pixels, float* to) {
  for (size_t i = 0; i < images; ++i, from += channels * pixels, to += channels * pixels) {
    Transpose(from, channels, pixels, to);
  }
}

void ToChannelsFirst(const float* from, size_t images, size_t channels, size_t pixels, float* to) {
  for (size_t i = 0; i < images; ++i, from += channels * pixels, to += channels * pixels) {
    Transpose(from, pixels, channels, to);
  }
}

}  // namespace squeeze::codebook
