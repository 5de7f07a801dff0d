// The attributes of a node that slides a window over images: of two spatial dimensions, or of one,
// which are images of height 1.
#pragma once

#include "base/inputs.h"
#include "images/geometry.h"

namespace squeeze::images {

// Where the channels of an image are.
enum class Order { kChannelsFirst, kChannelsLast };

// x_perm and y_perm, each a permutation of `rank` axes, 4 or 3: x_perm brings x to channels-first,
// y_perm brings the channels-first result to y.
abi::Status* ReadOrders(const Reader& read, size_t rank, Order* x, Order* y);

// strides, dilations and pads for `spatial` dimensions, 2 or 1. The kernel's size is the caller's;
// a dimension that is not there gets stride and dilation 1.
abi::Status* ReadWindow(const Reader& read, size_t spatial, Window* window);

// What the shape `w` of the weights, [outputs, inputs / group, (kernel_h,) kernel_w], and the
// attributes say.
abi::Status* ReadGeometry(const Reader& read, const Tensor& w, Geometry* geometry);

}  // namespace squeeze::images
