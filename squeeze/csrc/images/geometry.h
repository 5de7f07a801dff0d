// Windows that slide over images, and the sizes of images. Also read by files that are compiled for
// one ISA only: nothing in here may emit code of its own.
#pragma once

#include "base/kernel.h"

namespace squeeze::images {

// Everything is positive, or zero for the pads, and at most kMaxSize.
struct Window {
  int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
  int32_t pad_top, pad_left, pad_bottom, pad_right;
};

// What a convolution fixes, whatever its numbers are. Weights are [out_channels, in_channels /
// groups, kernel_h, kernel_w], at most kMaxWeights of them.
struct Geometry : Window {
  int32_t in_channels, out_channels, groups;
};

// The geometry of a matrix product: every pixel for itself.
SQUEEZE_INLINE Geometry PixelByPixel(int32_t in_channels, int32_t out_channels) {
  Geometry geometry = {};
  geometry.kernel_h = geometry.kernel_w = geometry.stride_h = geometry.stride_w = 1;
  geometry.dilation_h = geometry.dilation_w = geometry.groups = 1;
  geometry.in_channels = in_channels;
  geometry.out_channels = out_channels;
  return geometry;
}

SQUEEZE_INLINE bool IsPadded(const Window& window) {
  return window.pad_top || window.pad_left || window.pad_bottom || window.pad_right;
}

// Whether each output pixel is made of the input pixel in its place, and of no other: an image is
// then one long row. A product of the four sizes would not fit 32 bits.
SQUEEZE_INLINE bool IsPointwise(const Window& window) {
  return window.kernel_h == 1 && window.kernel_w == 1 && window.stride_h == 1 &&
         window.stride_w == 1 && !IsPadded(window);
}

SQUEEZE_INLINE size_t WeightsPerOutput(const Geometry& geometry) {
  return size_t{1} * (geometry.in_channels / geometry.groups) * geometry.kernel_h *
         geometry.kernel_w;
}

// No real image has more pixels. Below it the pixels of an image, and a sum of two such numbers,
// fit 32 bits.
inline constexpr int64_t kMaxPixels = 1 << 30;

// Size of one image before and after, at most kMaxPixels each.
struct Extent {
  int32_t in_h, in_w, out_h, out_w;
};

// Columns of the padded image that an output row reads.
SQUEEZE_INLINE int32_t PaddedColumns(const Window& window, const Extent& extent) {
  return (extent.out_w - 1) * window.stride_w + (window.kernel_w - 1) * window.dilation_w + 1;
}

// Rows of the padded image that `rows` output rows read.
SQUEEZE_INLINE int32_t PaddedRows(const Window& window, int32_t rows) {
  return (rows - 1) * window.stride_h + (window.kernel_h - 1) * window.dilation_h + 1;
}

}  // namespace squeeze::images
