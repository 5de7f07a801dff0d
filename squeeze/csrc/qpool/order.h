// The layout attributes of the pools, for images with one or two spatial dimensions.
#pragma once

#include "base/inputs.h"

namespace squeeze::qpool {

// Whether attribute `name`, a permutation of `rank` values, says channels-last: x_perm brings x to
// channels-first, y_perm brings the channels-first result to y.
abi::Status* ReadOrder(const Reader& read, const char* name, bool is_output, size_t rank,
                       bool* channels_last);

}  // namespace squeeze::qpool
