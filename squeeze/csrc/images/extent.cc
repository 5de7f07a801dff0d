#include "images/extent.h"

namespace squeeze::images {
namespace {

// 0 where the window is larger than the padded image.
int64_t OutputSize(int64_t size, int32_t before, int32_t after, int32_t kernel, int32_t dilation,
                   int32_t stride) {
  const int64_t room = size + before + after - (int64_t{kernel - 1} * dilation + 1);
  return room < 0 ? 0 : room / stride + 1;
}

}  // namespace

abi::Status* ReadImages(const abi::Api* api, const abi::KernelContext* context, const char* where,
                        size_t index, const char* name, size_t rank, Tensor* images) {
  SQUEEZE_RETURN_IF_ERROR(ReadInput(api, context, where, index, images));
  if (images->rank == rank) return nullptr;
  return Fail(api, "%s: input %s has rank %zu, expected %zu", where, name, images->rank, rank);
}

int64_t ChannelsOf(const Tensor& images, Order order) {
  return images.dims[order == Order::kChannelsLast ? images.rank - 1 : 1];
}

abi::Status* CheckChannels(const abi::Api* api, const char* where, const Tensor& x, Order order,
                           int32_t expected) {
  const int64_t channels = ChannelsOf(x, order);
  if (channels == expected) return nullptr;
  return Fail(api, "%s: input x has %lld channels, the weights expect %d", where,
              static_cast<long long>(channels), expected);
}

abi::Status* ExtentOf(const abi::Api* api, const char* where, const Tensor& x, Order order,
                      const Window& window, Extent* extent) {
  const int64_t* sides = x.dims + (order == Order::kChannelsLast ? 1 : 2);
  const int64_t in_h = x.rank == 4 ? sides[0] : 1, in_w = sides[x.rank - 3];
  const auto height = static_cast<long long>(in_h), width = static_cast<long long>(in_w);
  if (in_h > kMaxSize || in_w > kMaxSize || in_h * in_w > kMaxPixels) {
    return Fail(api,
                "%s: input x is %lld x %lld pixels, expected sides up to %lld and at most %lld "
                "pixels",
                where, height, width, static_cast<long long>(kMaxSize),
                static_cast<long long>(kMaxPixels));
  }
  const int64_t out_h = OutputSize(in_h, window.pad_top, window.pad_bottom, window.kernel_h,
                                   window.dilation_h, window.stride_h);
  const int64_t out_w = OutputSize(in_w, window.pad_left, window.pad_right, window.kernel_w,
                                   window.dilation_w, window.stride_w);
  if (in_h < 1 || in_w < 1 || out_h < 1 || out_w < 1) {
    return Fail(api, "%s: input x is %lld x %lld pixels, too few for the kernel", where, height,
                width);
  }
  if (out_h * out_w > kMaxPixels) {
    return Fail(api, "%s: y is %lld x %lld pixels, expected at most %lld; pads are too large",
                where, static_cast<long long>(out_h), static_cast<long long>(out_w),
                static_cast<long long>(kMaxPixels));
  }
  *extent = {static_cast<int32_t>(in_h), static_cast<int32_t>(in_w), static_cast<int32_t>(out_h),
             static_cast<int32_t>(out_w)};
  return nullptr;
}

Tensor ShapeOfResults(int64_t count, int64_t channels, const Extent& extent, Order order,
                      size_t rank) {
  Tensor y = {};
  y.rank = rank;
  size_t axis = 0;
  y.dims[axis++] = count;
  if (order == Order::kChannelsFirst) y.dims[axis++] = channels;
  if (rank == 4) y.dims[axis++] = extent.out_h;
  y.dims[axis++] = extent.out_w;
  if (order == Order::kChannelsLast) y.dims[axis++] = channels;
  return y;
}

}  // namespace squeeze::images
