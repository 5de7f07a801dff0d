// The truth: any kernel size, stride, dilation, padding and group count, one output at a time.
#include <string.h>

#include "qconv/qconv.h"

namespace squeeze::qconv {
namespace {

// Weights are repacked to [o, kh, kw, i], so that the innermost loop walks both sides in order.
struct Packed {
  const int32_t* bias;      // [o]
  const float* multiplier;  // [o]
  const int8_t* w;          // [o, kh, kw, i]
};

size_t PerOutput(const Conv& conv) {
  return size_t{1} * (conv.in_channels / conv.groups) * conv.kernel_h * conv.kernel_w;
}

Packed View(const Conv& conv, const void* packed) {
  const auto* bias = static_cast<const int32_t*>(packed);
  const auto* multiplier = reinterpret_cast<const float*>(bias + conv.out_channels);
  return {bias, multiplier, reinterpret_cast<const int8_t*>(multiplier + conv.out_channels)};
}

bool Supports(const Conv&) { return true; }

size_t PackedBytes(const Conv& conv) { return conv.out_channels * (8 + PerOutput(conv)); }

void Pack(const Conv& conv, const Weights& weights, void* packed) {
  const Packed view = View(conv, packed);
  memcpy(const_cast<int32_t*>(view.bias), weights.bias, conv.out_channels * sizeof(int32_t));
  memcpy(const_cast<float*>(view.multiplier), weights.multiplier,
         conv.out_channels * sizeof(float));
  auto* to = const_cast<int8_t*>(view.w);
  const int32_t channels = conv.in_channels / conv.groups;
  const int32_t taps = conv.kernel_h * conv.kernel_w;
  for (int32_t o = 0; o < conv.out_channels; ++o) {
    const int8_t* from = weights.w + o * PerOutput(conv);
    for (int32_t tap = 0; tap < taps; ++tap) {
      for (int32_t i = 0; i < channels; ++i) *to++ = from[size_t{1} * i * taps + tap];
    }
  }
}

size_t ScratchBytes(const Conv&, const Extent&) { return 0; }

// Half to even for |value| < 2^22: the sum has no bits left below the point.
float RoundHalfToEven(float value) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23
  return (value + kMagic) - kMagic;
}

// round(value) saturated so that adding the zero point gives 0..255. Limits are integers, so order
// does not matter.
int32_t RoundAndSaturate(float value, int32_t zero_point) {
  const float low = static_cast<float>(-zero_point);
  const float high = static_cast<float>(255 - zero_point);
  value = value < low ? low : value;
  value = value > high ? high : value;
  return static_cast<int32_t>(RoundHalfToEven(value));
}

int32_t Accumulate(const Conv& conv, const Extent& extent, const uint8_t* x, const int8_t* w,
                   int32_t bias, int32_t row, int32_t column, int32_t group) {
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

void Run(const Conv& conv, const void* packed, const Extent& extent, const Task& task, void*) {
  const Packed view = View(conv, packed);
  const size_t per_output = PerOutput(conv);
  const int32_t outputs_per_group = conv.out_channels / conv.groups;
  for (int32_t row = task.row_begin; row < task.row_end; ++row) {
    for (int32_t column = 0; column < extent.out_w; ++column) {
      const size_t at = (size_t{1} * row * extent.out_w + column) * conv.out_channels;
      for (int32_t o = 0; o < conv.out_channels; ++o) {
        const int32_t sum = Accumulate(conv, extent, task.x, view.w + o * per_output, view.bias[o],
                                       row, column, o / outputs_per_group);
        int32_t value =
            RoundAndSaturate(static_cast<float>(sum) * view.multiplier[o], conv.conv_zero_point);
        int32_t zero_point = conv.conv_zero_point;
        if (conv.has_residual) {
          const int32_t residual = task.residual[at + o] - conv.residual_zero_point;
          const float total = static_cast<float>(value) * conv.conv_ratio +
                              static_cast<float>(residual) * conv.residual_ratio;
          zero_point = conv.y_zero_point;
          value = RoundAndSaturate(total, zero_point);
        }
        task.y[at + o] = static_cast<uint8_t>(value + zero_point);
      }
    }
  }
}

}  // namespace

extern const Kernel any__portable = {
    "qconv any__portable", Isa::kPortable, 200'000, Supports, PackedBytes, Pack, ScratchBytes, Run,
};

}  // namespace squeeze::qconv
