// The weights of a codebook node as int8, while it is being loaded.
#pragma once

#include "base/inputs.h"
#include "base/memory.h"

namespace squeeze::qcodebook {

// Inputs of the node.
inline constexpr size_t kIndices = 3, kCodebooks = 4, kScale = 5;

// Reads `indices`, `codebooks`, and the attributes w_shape (of `least_rank` to `most_rank` sizes),
// bits and bucket. `w` then is a tensor of the shape w_shape in `memory`.
abi::Status* ReadWeights(const Reader& read, const abi::KernelInfo* info, size_t least_rank,
                         size_t most_rank, Memory* memory, Tensor* w);

}  // namespace squeeze::qcodebook
