// The truth: any kernel size, stride, dilation, padding, group count and bucket, one output at a
// time.
#include <string.h>

#include "codebook/codebook.h"
#include "codebook/stream.h"

namespace squeeze::codebook {
namespace {

bool Supports(const Layer&) { return true; }

// The inputs of the node as they are: bias, codebooks, stream.
size_t PackedBytes(const Layer& layer) {
  return (layer.out_channels + BookValues(layer)) * sizeof(float) + StreamBytes(layer);
}

Weights View(const Layer& layer, const void* packed) {
  const auto* bias = static_cast<const float*>(packed);
  const float* codebooks = bias + layer.out_channels;
  return {reinterpret_cast<const uint8_t*>(codebooks + BookValues(layer)), codebooks, bias};
}

void Pack(const Layer& layer, const Weights& weights, void* packed) {
  const Weights to = View(layer, packed);
  memcpy(const_cast<float*>(to.bias), weights.bias, layer.out_channels * sizeof(float));
  memcpy(const_cast<float*>(to.codebooks), weights.codebooks, BookValues(layer) * sizeof(float));
  memcpy(const_cast<uint8_t*>(to.indices), weights.indices, StreamBytes(layer));
}

// The weights of one output channel, [kh, kw, i].
size_t ScratchBytes(const Layer& layer, const Extent&, int32_t) {
  return WeightsPerOutput(layer) * sizeof(float);
}

float Sum(const Layer& layer, const Extent& extent, const float* x, const float* w, int32_t row,
          int32_t column, int32_t group) {
  const int32_t channels = layer.in_channels / layer.groups;
  float sum = 0;
  for (int32_t kh = 0; kh < layer.kernel_h; ++kh) {
    const int64_t at_h =
        int64_t{row} * layer.stride_h + int64_t{kh} * layer.dilation_h - layer.pad_top;
    for (int32_t kw = 0; kw < layer.kernel_w; ++kw, w += channels) {
      const int64_t at_w =
          int64_t{column} * layer.stride_w + int64_t{kw} * layer.dilation_w - layer.pad_left;
      if (at_h < 0 || at_h >= extent.in_h || at_w < 0 || at_w >= extent.in_w) continue;
      const float* pixel = x + (at_h * extent.in_w + at_w) * layer.in_channels + group * channels;
      for (int32_t i = 0; i < channels; ++i) sum += pixel[i] * w[i];
    }
  }
  return sum;
}

void Run(const Layer& layer, const void* packed, const Extent& extent, const Task& task,
         void* scratch) {
  const Weights weights = View(layer, packed);
  auto* w = static_cast<float*>(scratch);
  const int32_t channels = layer.in_channels / layer.groups;
  const int32_t outputs_per_group = layer.out_channels / layer.groups;
  for (int32_t o = task.channel_begin; o < task.channel_end; ++o) {
    float* to = w;
    for (int32_t kh = 0; kh < layer.kernel_h; ++kh) {
      for (int32_t kw = 0; kw < layer.kernel_w; ++kw) {
        for (int32_t i = 0; i < channels; ++i) {
          *to++ = WeightAt(layer, weights, WeightPlace(layer, o, i, kh, kw));
        }
      }
    }
    for (int32_t row = task.row_begin; row < task.row_end; ++row) {
      for (int32_t column = 0; column < extent.out_w; ++column) {
        const size_t pixel = size_t{1} * row * extent.out_w + column;
        task.y[pixel * layer.out_channels + o] =
            weights.bias[o] + Sum(layer, extent, task.x, w, row, column, o / outputs_per_group);
      }
    }
  }
}

}  // namespace

extern const Kernel any__portable = {
    "codebook any__portable", Isa::kPortable, Supports, PackedBytes, Pack, ScratchBytes, Run,
};

}  // namespace squeeze::codebook
