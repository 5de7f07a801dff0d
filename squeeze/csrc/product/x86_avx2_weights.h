// Weights of dense and grouped convolutions as the AVX2 blocks read them: 16 bits wide, in pairs, 8
// output channels side by side.
#pragma once

#include "product/lanes.h"

namespace squeeze::product {

constexpr int32_t kLanes = 8;
constexpr int32_t kWindow = 8;  // 16-bit values that a shuffle chooses from

struct Layout {
  LaneBlocks blocks;
  int32_t runs_per_row;  // of the kernel
  int32_t run_pairs;
  size_t block_pairs;  // weights of one lane block: [kh][run][run_pairs][8][2]
};

SQUEEZE_INLINE Layout LayoutOf(const Conv& conv) {
  const bool joined = conv.dilation_w == 1 && conv.groups == 1;
  Layout layout;
  layout.blocks = LaneBlocksOf(conv, kLanes, 2, kWindow);
  layout.runs_per_row = joined ? 1 : conv.kernel_w;
  layout.run_pairs = (layout.blocks.in_per_group * (joined ? conv.kernel_w : 1) + 1) / 2;
  layout.block_pairs = size_t{1} * conv.kernel_h * layout.runs_per_row * layout.run_pairs;
  return layout;
}

struct Packed {
  const int32_t* bias;      // [blocks * 8]
  const float* multiplier;  // [blocks * 8]
  const int16_t* w;         // [blocks][block_pairs][8][2]
};

SQUEEZE_INLINE Packed View(const Layout& layout, const void* packed) {
  const size_t lanes = size_t{1} * layout.blocks.count * kLanes;
  const auto* bias = static_cast<const int32_t*>(packed);
  const auto* multiplier = reinterpret_cast<const float*>(bias + lanes);
  return {bias, multiplier, reinterpret_cast<const int16_t*>(multiplier + lanes)};
}

[[maybe_unused]] static size_t PackedBytes(const Conv& conv) {
  const Layout layout = LayoutOf(conv);
  return layout.blocks.count * kLanes * (8 + layout.block_pairs * 4);
}

[[maybe_unused]] static void PackWeights(const Conv& conv, const Weights& weights, void* packed) {
  const Layout layout = LayoutOf(conv);
  const LaneBlocks& blocks = layout.blocks;
  const Packed view = View(layout, packed);
  auto* w = const_cast<int16_t*>(view.w);
  const int32_t taps = conv.kernel_h * conv.kernel_w;
  for (int32_t b = 0; b < blocks.count; ++b) {
    const LaneBlock block = LaneBlockAt(conv, blocks, b, kLanes);
    for (int32_t lane = 0; lane < block.valid; ++lane) {
      const int32_t o = block.output + lane;
      const_cast<int32_t*>(view.bias)[b * kLanes + lane] = FoldedBias(conv, weights, o);
      const_cast<float*>(view.multiplier)[b * kLanes + lane] = weights.multiplier[o];
      const int8_t* from = weights.w + size_t{1} * o * blocks.in_per_group * taps;
      for (int32_t i = 0; i < blocks.in_per_group; ++i) {
        for (int32_t tap = 0; tap < taps; ++tap) {
          const int32_t kh = tap / conv.kernel_w, kw = tap % conv.kernel_w;
          const int32_t run = layout.runs_per_row == 1 ? 0 : kw;
          const int32_t at = (layout.runs_per_row == 1 ? kw * blocks.in_per_group : 0) + i;
          const size_t pair = b * layout.block_pairs +
                              (size_t{1} * kh * layout.runs_per_row + run) * layout.run_pairs +
                              at / 2;
          w[(pair * kLanes + lane) * 2 + at % 2] = *from++;
        }
      }
    }
  }
}

}  // namespace squeeze::product
