// Any kernel size, stride, dilation, padding and group count: the weights of one output channel are
// decoded at a time.
#include "product/one_output.h"
#include "qcodebook/levels.h"
#include "qcodebook/qcodebook.h"

namespace squeeze::qcodebook {
namespace {

using product::Conv;
using product::Extent;
using product::Task;

// Indices are in the order [o, kh, kw, i] of the plain kernel, each channel in whole bytes.
struct Coded {
  const int32_t* bias;      // [o]
  const float* multiplier;  // [o]
  const int8_t* tables;     // [o, kMostLevels]
  const uint8_t* indices;   // [o, channel_bytes]
  size_t channel_bytes;
};

template <int kBits>
size_t ChannelBytes(const Conv& conv) {
  return (WeightsPerOutput(conv) * kBits + 7) / 8;
}

template <int kBits>
Coded ViewOf(const Conv& conv, const void* packed) {
  const auto* bias = static_cast<const int32_t*>(packed);
  const auto* multiplier = reinterpret_cast<const float*>(bias + conv.out_channels);
  const auto* tables = reinterpret_cast<const int8_t*>(multiplier + conv.out_channels);
  const auto* indices =
      reinterpret_cast<const uint8_t*>(tables + size_t{1} * conv.out_channels * kMostLevels);
  return {bias, multiplier, tables, indices, ChannelBytes<kBits>(conv)};
}

bool Supports(const Conv&) { return true; }

template <int kBits>
size_t PackedBytes(const Conv& conv) {
  return conv.out_channels * (8 + kMostLevels + ChannelBytes<kBits>(conv));
}

template <int kBits>
void PackWeights(const Conv& conv, const product::Weights& weights, void* packed) {
  const Coded view = ViewOf<kBits>(conv, packed);
  const size_t count = WeightsPerOutput(conv), taps = size_t{1} * conv.kernel_h * conv.kernel_w;
  for (int32_t o = 0; o < conv.out_channels; ++o) {
    const_cast<int32_t*>(view.bias)[o] = weights.bias[o];
    const_cast<float*>(view.multiplier)[o] = weights.multiplier[o];
    const int8_t* from = weights.w + o * count;
    const Levels levels = LevelsOf(from, count);
    memcpy(const_cast<int8_t*>(view.tables) + o * kMostLevels, levels.level, levels.count);
    uint8_t* to = const_cast<uint8_t*>(view.indices) + o * view.channel_bytes;
    for (size_t j = 0; j < count; ++j) {
      const size_t bit = (j % taps * (count / taps) + j / taps) * kBits;
      const uint32_t index = levels.index[static_cast<uint8_t>(from[j])];
      to[bit / 8] |= static_cast<uint8_t>(index << bit % 8);
    }
  }
}

size_t ScratchBytes(const Conv& conv, const Extent&) { return WeightsPerOutput(conv); }

template <int kBits>
void Run(const Conv& conv, const void* packed, const Extent& extent, const Task& task,
         void* scratch) {
  const Coded view = ViewOf<kBits>(conv, packed);
  const size_t count = WeightsPerOutput(conv);
  auto* w = static_cast<int8_t*>(scratch);
  for (int32_t o = 0; o < conv.out_channels; ++o) {
    const int8_t* table = view.tables + o * kMostLevels;
    const uint8_t* indices = view.indices + o * view.channel_bytes;
    for (size_t j = 0; j < count; ++j) {
      const size_t bit = j * kBits;
      w[j] = table[indices[bit / 8] >> bit % 8 & ((1 << kBits) - 1)];
    }
    for (int32_t row = task.row_begin; row < task.row_end; ++row) {
      for (int32_t column = 0; column < extent.out_w; ++column) {
        product::OneOutput(conv, extent, task, w, view.bias[o], view.multiplier[o], row, column, o);
      }
    }
  }
}

constexpr int64_t kMacsPerTask = 200'000;

}  // namespace

extern const Kernel any2__portable = {
    2,
    {"qcodebook any2__portable", Isa::kPortable, kMacsPerTask, Supports, PackedBytes<2>,
     PackWeights<2>, ScratchBytes, Run<2>}};

extern const Kernel any4__portable = {
    4,
    {"qcodebook any4__portable", Isa::kPortable, kMacsPerTask, Supports, PackedBytes<4>,
     PackWeights<4>, ScratchBytes, Run<4>}};

}  // namespace squeeze::qcodebook
