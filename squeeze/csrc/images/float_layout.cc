#include "images/float_layout.h"

#include <string.h>

namespace squeeze::images {
namespace {

// Four floats of any 64-bit machine.
typedef float Four __attribute__((vector_size(16)));

Four Load(const float* from) {
  Four v;
  memcpy(&v, from, sizeof v);
  return v;
}

// [4, 4] -> [4, 4]; rows are `from_pitch` and `to_pitch` floats apart.
void Transpose4(const float* from, size_t from_pitch, float* to, size_t to_pitch) {
  const Four a = Load(from), b = Load(from + from_pitch);
  const Four c = Load(from + 2 * from_pitch), d = Load(from + 3 * from_pitch);
  const Four ab0 = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  const Four ab1 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Four cd0 = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const Four cd1 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  const Four columns[4] = {
      __builtin_shufflevector(ab0, cd0, 0, 1, 4, 5),
      __builtin_shufflevector(ab0, cd0, 2, 3, 6, 7),
      __builtin_shufflevector(ab1, cd1, 0, 1, 4, 5),
      __builtin_shufflevector(ab1, cd1, 2, 3, 6, 7),
  };
  for (size_t i = 0; i < 4; ++i) memcpy(to + i * to_pitch, &columns[i], sizeof(Four));
}

// [rows, columns] -> [columns, rows], by tiles of whole lines of the cache, 16 floats each.
void Transpose(const float* from, size_t rows, size_t columns, float* to) {
  constexpr size_t kTile = 16;
  for (size_t r0 = 0; r0 < rows; r0 += kTile) {
    const size_t r1 = r0 + kTile < rows ? r0 + kTile : rows;
    for (size_t c0 = 0; c0 < columns; c0 += kTile) {
      const size_t c1 = c0 + kTile < columns ? c0 + kTile : columns;
      size_t c = c0;
      for (; c + 4 <= c1; c += 4) {
        size_t r = r0;
        for (; r + 4 <= r1; r += 4) {
          Transpose4(from + r * columns + c, columns, to + c * rows + r, rows);
        }
        for (; r < r1; ++r) {
          for (size_t i = c; i < c + 4; ++i) to[i * rows + r] = from[r * columns + i];
        }
      }
      for (; c < c1; ++c) {
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

}  // namespace squeeze::images
