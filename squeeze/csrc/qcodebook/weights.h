// The weights of a codebook node as int8, while it is being loaded.
#pragma once

#include "base/inputs.h"
#include "base/memory.h"

namespace squeeze::qcodebook {

// Inputs of the node.
inline constexpr size_t kIndices = 3, kCodebooks = 4, kScale = 5;

// Reads `indices`, `codebooks`, and the attributes w_shape (of `least_rank` to `most_rank` sizes),
// bits and bucket. `w` then has the shape w_shape and int8 values in `memory`; its type is not set.
abi::Status* ReadWeights(const Reader& read, size_t least_rank, size_t most_rank, Memory* memory,
                         Tensor* w);

}  // namespace squeeze::qcodebook
