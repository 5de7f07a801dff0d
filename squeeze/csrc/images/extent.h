// The sizes of the images of one call, checked once: all arithmetic behind it relies on that.
#pragma once

#include "images/attributes.h"

namespace squeeze::images {

// Input `index`, called `name`, which has to be of rank `rank`.
abi::Status* ReadImages(const abi::Api* api, const abi::KernelContext* context, const char* where,
                        size_t index, const char* name, size_t rank, Tensor* images);

int64_t ChannelsOf(const Tensor& images, Order order);
abi::Status* CheckChannels(const abi::Api* api, const char* where, const Tensor& x, Order order,
                           int32_t expected);

// The sizes of each of the images `x` and of what `window` makes of it. Refused are images that are
// smaller than the window, sides above kMaxSize, and more than kMaxPixels before or after.
abi::Status* ExtentOf(const abi::Api* api, const char* where, const Tensor& x, Order order,
                      const Window& window, Extent* extent);

// The shape of `count` results of rank `rank`.
Tensor ShapeOfResults(int64_t count, int64_t channels, const Extent& extent, Order order,
                      size_t rank);

}  // namespace squeeze::images
