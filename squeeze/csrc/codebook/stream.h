// Reads single weights out of the stream of indices, for packing and for layers without tables.
// Internal linkage only: also read by files that are compiled for one ISA.
#pragma once

#include "codebook/codebook.h"

namespace squeeze::codebook {

SQUEEZE_INLINE size_t StreamBytes(const Layer& layer) {
  return (layer.out_channels * WeightsPerOutput(layer) * layer.bits + 7) / 8;
}

// Floats in all codebooks together.
SQUEEZE_INLINE size_t BookValues(const Layer& layer) {
  return (layer.out_channels * WeightsPerOutput(layer) + layer.bucket - 1) / layer.bucket
         << layer.bits;
}

SQUEEZE_INLINE float WeightAt(const Layer& layer, const Weights& weights, size_t j) {
  const size_t bit = j * layer.bits;
  const size_t byte = bit / 8;
  uint32_t window = weights.indices[byte];
  if (byte + 1 < StreamBytes(layer)) window |= uint32_t{weights.indices[byte + 1]} << 8;
  const uint32_t index = window >> bit % 8 & ((1u << layer.bits) - 1);
  return weights.codebooks[(j / layer.bucket << layer.bits) + index];
}

// The place of output channel `o`'s weight for image channel `i`, kernel row `kh` and column `kw`.
SQUEEZE_INLINE size_t WeightPlace(const Layer& layer, int32_t o, int32_t i, int32_t kh,
                                  int32_t kw) {
  const size_t plane = size_t{1} * o * (layer.in_channels / layer.groups) + i;
  return (plane * layer.kernel_h + kh) * layer.kernel_w + kw;
}

// The different weights of one output channel.
struct Table {
  float value[kMaxTable];
  int count;

  // The index of `weight`, which is put in when it is new; -1 when the table is full.
  [[gnu::always_inline]] int IndexOf(float weight) {
    for (int i = 0; i < count; ++i) {
      if (__builtin_memcmp(&value[i], &weight, sizeof weight) == 0) return i;
    }
    if (count == kMaxTable) return -1;
    value[count] = weight;
    return count++;
  }
};

}  // namespace squeeze::codebook
