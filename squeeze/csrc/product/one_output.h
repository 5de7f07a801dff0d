// The arithmetic of product.h for one output, in portable code: the truth that all kernels are
// compared with. Internal linkage only, see rows.h.
#pragma once

#include "product/rows.h"

namespace squeeze::product {

// Half to even for |value| < 2^22: the sum has no bits left below the point.
SQUEEZE_INLINE float RoundHalfToEven(float value) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23
  return (value + kMagic) - kMagic;
}

// round(value) saturated so that adding the zero point gives 0..255. Limits are integers, so order
// does not matter.
SQUEEZE_INLINE int32_t RoundAndSaturate(float value, int32_t zero_point) {
  const float low = static_cast<float>(-zero_point);
  const float high = static_cast<float>(255 - zero_point);
  value = value < low ? low : value;
  value = value > high ? high : value;
  return static_cast<int32_t>(RoundHalfToEven(value));
}

SQUEEZE_INLINE int32_t Accumulate(const Conv& conv, const Extent& extent, const uint8_t* x,
                                  const int8_t* w, int32_t bias, int32_t row, int32_t column,
                                  int32_t group) {
  const int32_t channels = conv.in_channels / conv.groups;
  uint32_t sum = static_cast<uint32_t>(bias);  // unsigned: wrapping is defined
  for (int32_t kh = 0; kh < conv.kernel_h; ++kh) {
    const int64_t at_h =
        int64_t{row} * conv.stride_h + int64_t{kh} * conv.dilation_h - conv.pad_top;
    for (int32_t kw = 0; kw < conv.kernel_w; ++kw, w += channels) {
      const int64_t at_w =
          int64_t{column} * conv.stride_w + int64_t{kw} * conv.dilation_w - conv.pad_left;
      if (at_h < 0 || at_h >= extent.in_h || at_w < 0 || at_w >= extent.in_w) continue;
      const uint8_t* pixel = x + (at_h * extent.in_w + at_w) * conv.in_channels + group * channels;
      for (int32_t i = 0; i < channels; ++i) {
        sum += static_cast<uint32_t>((pixel[i] - conv.x_zero_point) * w[i]);
      }
    }
  }
  return static_cast<int32_t>(sum);
}

// Writes output channel `o` of one pixel; `w` are the weights of that channel, [kh, kw, i].
SQUEEZE_INLINE void OneOutput(const Conv& conv, const Extent& extent, const Task& task,
                              const int8_t* w, int32_t bias, float multiplier, int32_t row,
                              int32_t column, int32_t o) {
  const int32_t group = o / (conv.out_channels / conv.groups);
  const int32_t sum = Accumulate(conv, extent, task.x, w, bias, row, column, group);
  const size_t at = (size_t{1} * row * extent.out_w + column) * conv.out_channels + o;
  const float real = static_cast<float>(sum) * multiplier;
  if (conv.has_real_y) {
    memcpy(task.y + at * sizeof real, &real, sizeof real);
    return;
  }
  int32_t zero_point = conv.conv_zero_point;
  int32_t value = RoundAndSaturate(real, zero_point);
  if (conv.has_residual) {
    const int32_t residual = task.residual[at] - conv.residual_zero_point;
    const float total = static_cast<float>(value) * conv.conv_ratio +
                        static_cast<float>(residual) * conv.residual_ratio;
    zero_point = conv.y_zero_point;
    value = RoundAndSaturate(total, zero_point);
  }
  task.y[at] = static_cast<uint8_t>(value + zero_point);
}

}  // namespace squeeze::product
