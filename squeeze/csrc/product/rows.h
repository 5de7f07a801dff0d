// What vector kernels of every architecture share: padded rows, and the bias that makes raw u8
// images do. Internal linkage only: each file that includes this is compiled for an ISA of its own,
// and its copy must never be picked by the linker for the whole library.
#pragma once

#include <string.h>

#include "product/product.h"

namespace squeeze::product {

SQUEEZE_INLINE int32_t RoundUp(int32_t value, int32_t step) {
  return (value + step - 1) / step * step;
}

// The rows of the padded image that output rows begin .. end - 1 read: first row and count.
struct Rows {
  int32_t first, count;
};

SQUEEZE_INLINE Rows RowsFor(const Conv& conv, int32_t begin, int32_t end) {
  return {begin * conv.stride_h, PaddedRows(conv, end - begin)};
}

// Copies one row of the padded image, all `columns` of them, to `to`; `row` counts from the top of
// the padding.
SQUEEZE_INLINE void CopyPaddedRow(const Conv& conv, const Extent& extent, const uint8_t* x,
                                  int32_t row, int32_t columns, uint8_t* to) {
  const size_t channels = conv.in_channels;
  const int32_t from = row - conv.pad_top;
  if (from < 0 || from >= extent.in_h) {
    memset(to, conv.x_zero_point, columns * channels);
    return;
  }
  const int32_t left = conv.pad_left < columns ? conv.pad_left : columns;
  const int32_t inside = extent.in_w < columns - left ? extent.in_w : columns - left;
  memset(to, conv.x_zero_point, left * channels);
  memcpy(to + left * channels, x + size_t{1} * from * extent.in_w * channels, inside * channels);
  memset(to + (left + inside) * channels, conv.x_zero_point, (columns - left - inside) * channels);
}

// bias - x_zero_point * sum(w): kernels then run on raw u8, with the border filled with
// x_zero_point.
SQUEEZE_INLINE int32_t FoldedBias(const Conv& conv, const Weights& weights, int32_t output) {
  const size_t per_output = WeightsPerOutput(conv);
  uint32_t sum = 0;
  for (size_t i = 0; i < per_output; ++i) {
    sum += static_cast<uint32_t>(weights.w[output * per_output + i]);
  }
  return static_cast<int32_t>(static_cast<uint32_t>(weights.bias[output]) -
                              conv.x_zero_point * sum);
}

}  // namespace squeeze::product
