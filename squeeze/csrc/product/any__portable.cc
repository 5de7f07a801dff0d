// The truth: any kernel size, stride, dilation, padding and group count, one output at a time.
#include <string.h>

#include "product/one_output.h"

namespace squeeze::product {
namespace {

// Weights are repacked to [o, kh, kw, i], so that the innermost loop walks both sides in order.
struct Packed {
  const int32_t* bias;      // [o]
  const float* multiplier;  // [o]
  const int8_t* w;          // [o, kh, kw, i]
};

Packed View(const Conv& conv, const void* packed) {
  const auto* bias = static_cast<const int32_t*>(packed);
  const auto* multiplier = reinterpret_cast<const float*>(bias + conv.out_channels);
  return {bias, multiplier, reinterpret_cast<const int8_t*>(multiplier + conv.out_channels)};
}

bool Supports(const Conv&) { return true; }

size_t PackedBytes(const Conv& conv) { return conv.out_channels * (8 + WeightsPerOutput(conv)); }

void Pack(const Conv& conv, const Weights& weights, void* packed) {
  const Packed view = View(conv, packed);
  memcpy(const_cast<int32_t*>(view.bias), weights.bias, conv.out_channels * sizeof(int32_t));
  memcpy(const_cast<float*>(view.multiplier), weights.multiplier,
         conv.out_channels * sizeof(float));
  auto* to = const_cast<int8_t*>(view.w);
  const int32_t channels = conv.in_channels / conv.groups;
  const int32_t taps = conv.kernel_h * conv.kernel_w;
  for (int32_t o = 0; o < conv.out_channels; ++o) {
    const int8_t* from = weights.w + o * WeightsPerOutput(conv);
    for (int32_t tap = 0; tap < taps; ++tap) {
      for (int32_t i = 0; i < channels; ++i) *to++ = from[size_t{1} * i * taps + tap];
    }
  }
}

size_t ScratchBytes(const Conv&, const Extent&) { return 0; }

void Run(const Conv& conv, const void* packed, const Extent& extent, const Task& task, void*) {
  const Packed view = View(conv, packed);
  const size_t per_output = WeightsPerOutput(conv);
  for (int32_t row = task.row_begin; row < task.row_end; ++row) {
    for (int32_t column = 0; column < extent.out_w; ++column) {
      for (int32_t o = 0; o < conv.out_channels; ++o) {
        OneOutput(conv, extent, task, view.w + o * per_output, view.bias[o], view.multiplier[o],
                  row, column, o);
      }
    }
  }
}

}  // namespace

extern const Kernel any__portable = {
    "product any__portable",
    Isa::kPortable,
    200'000,
    Supports,
    PackedBytes,
    Pack,
    ScratchBytes,
    Run,
};

}  // namespace squeeze::product
