// How the depthwise kernels lay a padded row, so that each tap of the kernel is the same row at
// another distance.
//
// They work on a strip of consecutive values of an output row at a time, whatever pixels and
// channels these are. With stride_w S the row is kept as S phases, one behind the other: columns 0,
// S, 2S .. then 1, S + 1 .. Neighbours of an output row are then neighbours in every phase. Where
// every strip lies in one pixel the row stays as it is.
#pragma once

#include "product/rows.h"

namespace squeeze::product {

SQUEEZE_INLINE bool IsDepthwise(const Conv& conv) {
  return conv.groups == conv.in_channels && conv.groups == conv.out_channels && !conv.has_real_y;
}

struct Phases {
  int32_t count;    // stride_w, or 1
  int32_t columns;  // of the padded row
  size_t channels;
  size_t pitch;  // values of a row
  size_t skip;   // values between the windows of two outputs, after those of the first
};

SQUEEZE_INLINE Phases PhasesOf(const Conv& conv, const Extent& extent, int32_t strip) {
  const int32_t columns = PaddedColumns(conv, extent);
  const size_t channels = conv.in_channels;
  const bool whole = conv.in_channels % strip == 0;
  // A stride beyond the row is that of one output alone.
  const int32_t stride = conv.stride_w < columns ? conv.stride_w : columns;
  return {whole ? 1 : stride, columns, channels, columns * channels,
          whole ? (stride - 1) * channels : 0};
}

// Columns in front of `phase` in the row.
SQUEEZE_INLINE int32_t PhaseStart(const Phases& phases, int32_t phase) {
  const int32_t longer = phases.columns % phases.count;
  return phase * (phases.columns / phases.count) + (phase < longer ? phase : longer);
}

// Distances of all taps from the window, kernel row by kernel row.
SQUEEZE_INLINE void TapDistances(const Conv& conv, const Phases& phases, size_t* distances) {
  for (int32_t kh = 0; kh < conv.kernel_h; ++kh) {
    for (int32_t kw = 0; kw < conv.kernel_w; ++kw) {
      const int32_t column = kw * conv.dilation_w;
      const int32_t at = PhaseStart(phases, column % phases.count) + column / phases.count;
      *distances++ = kh * conv.dilation_h * phases.pitch + at * phases.channels;
    }
  }
}

// Where the columns of one phase lie in the image: `before` and `after` of them are padding.
struct PhaseColumns {
  int32_t before, inside, after;
  int32_t first;  // column of the image where `inside` begins
};

SQUEEZE_INLINE PhaseColumns ColumnsOf(const Conv& conv, const Extent& extent, const Phases& phases,
                                      int32_t phase) {
  const int32_t all = PhaseStart(phases, phase + 1) - PhaseStart(phases, phase);
  // Columns phase + i * count of the padded row, i < bound, lie before the one called `column`.
  const auto bound = [&](int32_t column) {
    const int32_t i = (column - phase + phases.count - 1) / phases.count;
    return column <= phase ? 0 : i < all ? i : all;
  };
  const int32_t before = bound(conv.pad_left);
  const int32_t end = bound(conv.pad_left + extent.in_w);
  return {before, end - before, all - end, phase + before * phases.count - conv.pad_left};
}

// The columns of all phases, once for all rows.
SQUEEZE_INLINE void AllColumns(const Conv& conv, const Extent& extent, const Phases& phases,
                               PhaseColumns* columns) {
  for (int32_t phase = 0; phase < phases.count; ++phase) {
    columns[phase] = ColumnsOf(conv, extent, phases, phase);
  }
}

// From the window of a strip to that of the next strip of the output row.
SQUEEZE_INLINE void NextWindow(const Phases& phases, int32_t strip, size_t* window,
                               size_t* in_pixel) {
  *window += strip;
  *in_pixel += strip;
  if (*in_pixel == phases.channels) *window += phases.skip, *in_pixel = 0;
}

// Output rows whose padded input rows, of about `target` values together, are copied at once.
SQUEEZE_INLINE int32_t RowsPerPiece(const Conv& conv, const Phases& phases, const Extent& extent,
                                    size_t target) {
  const size_t fit = target / phases.pitch;
  const size_t kernel_rows = size_t{1} * (conv.kernel_h - 1) * conv.dilation_h + 1;
  const size_t rows = fit > kernel_rows ? (fit - kernel_rows) / conv.stride_h + 1 : 1;
  return rows < static_cast<size_t>(extent.out_h) ? static_cast<int32_t>(rows) : extent.out_h;
}

SQUEEZE_INLINE size_t RoundUpToAlignment(size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Where the parts of the scratch begin: distances of taps, columns of phases, padded rows.
struct Scratch {
  size_t columns, rows;
};

SQUEEZE_INLINE Scratch ScratchOf(const Phases& phases, size_t taps) {
  const size_t columns = RoundUpToAlignment(taps * sizeof(size_t));
  return {columns, columns + RoundUpToAlignment(phases.count * sizeof(PhaseColumns))};
}

// Channels repeat after this many strips of `strip` values; `strip` is a power of two.
SQUEEZE_INLINE int32_t Period(const Conv& conv, int32_t strip) {
  int32_t period = conv.in_channels;
  for (; strip > 1 && period % 2 == 0; strip /= 2) period /= 2;
  return period;
}

}  // namespace squeeze::product
