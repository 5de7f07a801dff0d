// How the output channels of a convolution, grouped or not, are laid on the lanes of a vector.
//
// A lane block is a run of output channels, one per lane. Where groups are narrower than a vector,
// a block holds several whole groups, as many as have their inputs in one window that a shuffle can
// reach; else it holds a part of one group.
#pragma once

#include "product/rows.h"

namespace squeeze::product {

struct LaneBlocks {
  int32_t in_per_group, out_per_group;
  int32_t groups_per_block;  // 1: blocks never share a group's lanes with another group
  int32_t blocks_per_group;  // 1 where groups_per_block is above 1
  int32_t count;
};

// The input that a lane meets in step k is `unit` channels from k * unit on of its group; `window`:
// channels that a shuffle can choose from.
SQUEEZE_INLINE LaneBlocks LaneBlocksOf(const Conv& conv, int32_t lanes, int32_t unit,
                                       int32_t window) {
  LaneBlocks blocks;
  blocks.in_per_group = conv.in_channels / conv.groups;
  blocks.out_per_group = conv.out_channels / conv.groups;
  const int32_t fit = lanes / blocks.out_per_group;
  const int32_t reach = (window - unit) / blocks.in_per_group + 1;
  const int32_t together = fit < reach ? fit : reach;
  blocks.groups_per_block = together < 1 ? 1 : together < conv.groups ? together : conv.groups;
  blocks.blocks_per_group =
      blocks.groups_per_block > 1 ? 1 : (blocks.out_per_group + lanes - 1) / lanes;
  blocks.count = (conv.groups + blocks.groups_per_block - 1) / blocks.groups_per_block *
                 blocks.blocks_per_group;
  return blocks;
}

struct LaneBlock {
  int32_t group;   // the first one
  int32_t output;  // channel of lane 0
  int32_t valid;   // lanes in use
};

SQUEEZE_INLINE LaneBlock LaneBlockAt(const Conv& conv, const LaneBlocks& blocks, int32_t index,
                                     int32_t lanes) {
  LaneBlock block;
  const int32_t part = index % blocks.blocks_per_group * lanes;
  block.group = index / blocks.blocks_per_group * blocks.groups_per_block;
  block.output = block.group * blocks.out_per_group + part;
  const int32_t groups_left = conv.groups - block.group;
  const int32_t groups =
      groups_left < blocks.groups_per_block ? groups_left : blocks.groups_per_block;
  const int32_t left = groups * blocks.out_per_group - part;
  block.valid = left < lanes ? left : lanes;
  return block;
}

}  // namespace squeeze::product
