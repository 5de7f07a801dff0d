// The loops of QMaxPool and QGlobalAveragePool. Each kernel file compiles its own copy, with
// vectors of the size that its ISA has.
#pragma once

#include <string.h>

#include "qpool/qpool.h"

namespace squeeze::qpool {
namespace {

// The pixels under one window: `rows` x `columns` of them, these many bytes apart.
struct Taps {
  const uint8_t* first;
  int32_t rows, columns;
  size_t row_bytes, column_bytes;
};

// kBytes channels from `at` on.
template <size_t kBytes>
void MaxOf(const Taps& taps, size_t at, uint8_t flip, uint8_t* y) {
  typedef uint8_t Bytes __attribute__((vector_size(kBytes)));
  const Bytes flips = Bytes{} + flip;
  Bytes best = {};
  const uint8_t* row = taps.first + at;
  for (int32_t r = 0; r < taps.rows; ++r, row += taps.row_bytes) {
    const uint8_t* pixel = row;
    for (int32_t c = 0; c < taps.columns; ++c, pixel += taps.column_bytes) {
      Bytes value;
      memcpy(&value, pixel, kBytes);
      value ^= flips;
      best = value > best ? value : best;
    }
  }
  best ^= flips;
  memcpy(y + at, &best, kBytes);
}

// Whole vectors, of which the last may overlap the one before it; fewer channels than one vector
// go to smaller vectors, down to single bytes.
template <size_t kBytes>
void MaxOfPixel(const Taps& taps, size_t channels, uint8_t flip, uint8_t* y) {
  if (channels < kBytes) {
    if constexpr (kBytes > 1) MaxOfPixel<(kBytes > 8 ? kBytes / 2 : 1)>(taps, channels, flip, y);
    return;
  }
  size_t at = 0;
  for (; at + kBytes <= channels; at += kBytes) MaxOf<kBytes>(taps, at, flip, y);
  if (at < channels) MaxOf<kBytes>(taps, channels - kBytes, flip, y);
}

// Taps begin .. end - 1 of those at origin + tap * dilation lie in 0 .. size - 1.
struct Range {
  int32_t begin, end;
};
Range Inside(int64_t origin, int32_t dilation, int32_t taps, int32_t size) {
  const int64_t before = origin < 0 ? (-origin + dilation - 1) / dilation : 0;
  const int64_t end = origin < size ? (size - origin + dilation - 1) / dilation : 0;
  const int64_t last = end < taps ? end : taps;
  if (before >= last) return {0, 0};
  return {static_cast<int32_t>(before), static_cast<int32_t>(last)};
}

template <size_t kBytes>
void Max(const Window& window, const MaxTask& task) {
  const size_t channels = task.channels, row_bytes = channels * task.in_w;
  uint8_t* y = task.y + size_t{1} * task.row_begin * task.out_w * channels;
  for (int32_t row = task.row_begin; row < task.row_end; ++row) {
    const int64_t top = int64_t{row} * window.stride_h - window.pad_top;
    const Range rows = Inside(top, window.dilation_h, window.kernel_h, task.in_h);
    for (int32_t column = 0; column < task.out_w; ++column, y += channels) {
      const int64_t left = int64_t{column} * window.stride_w - window.pad_left;
      const Range columns = Inside(left, window.dilation_w, window.kernel_w, task.in_w);
      Taps taps = {task.x, 0, 0, row_bytes * window.dilation_h, channels * window.dilation_w};
      if (rows.end && columns.end) {
        taps.first += (top + int64_t{rows.begin} * window.dilation_h) * row_bytes +
                      (left + int64_t{columns.begin} * window.dilation_w) * channels;
        taps.rows = rows.end - rows.begin;
        taps.columns = columns.end - columns.begin;
      }
      MaxOfPixel<kBytes>(taps, channels, window.flip, y);
    }
  }
}

void AddPixels(const uint8_t* x, size_t pixels, size_t channels, uint8_t flip,
               uint32_t* __restrict totals) {
  for (size_t pixel = 0; pixel < pixels; ++pixel, x += channels) {
    for (size_t c = 0; c < channels; ++c) totals[c] += static_cast<uint8_t>(x[c] ^ flip);
  }
}

void AddPlanes(const uint8_t* x, size_t pixels, size_t channels, uint8_t flip,
               uint32_t* __restrict totals) {
  for (size_t c = 0; c < channels; ++c, x += pixels) {
    uint32_t total = 0;
    for (size_t pixel = 0; pixel < pixels; ++pixel) total += static_cast<uint8_t>(x[pixel] ^ flip);
    totals[c] = total;
  }
}

}  // namespace
}  // namespace squeeze::qpool
