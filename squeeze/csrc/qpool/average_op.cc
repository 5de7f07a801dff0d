// QGlobalAveragePool as ONNX Runtime sees it: sums of images, and the rounding to y.
#include <string.h>

#include "base/memory.h"
#include "images/extent.h"
#include "qpool/qpool.h"

namespace squeeze {
namespace qpool {
namespace {

using abi::ElementType;
using images::Order;

// Smaller pieces are not worth a thread.
constexpr int64_t kBytesPerTask = 128 * 1024;
// The sum of fewer values fits 32 bits.
constexpr int64_t kTooManyPixels = 1 << 23;
// The largest x_scale / y_scale; no trained model comes near.
constexpr float kMaxRatio = 1 << 20;

struct Scaling {
  uint8_t x_zero_point, y_zero_point;  // of the u8 twins
  uint8_t flip;                        // 0x80 where the tensors are s8, else 0
  float x_scale, y_scale;
};

void Average(const Scaling& scaling, size_t pixels, const uint32_t* totals, size_t channels,
             uint8_t* y) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: rounds half to even below 2^22
  const float multiplier = scaling.x_scale / (scaling.y_scale * static_cast<float>(pixels));
  const int64_t zero = int64_t{scaling.x_zero_point} * static_cast<int64_t>(pixels);
  const float low = -static_cast<float>(scaling.y_zero_point), high = 255.0f + low;
  for (size_t c = 0; c < channels; ++c) {
    float value = static_cast<float>(static_cast<int32_t>(totals[c] - zero)) * multiplier;
    value = value < low ? low : value;
    value = value > high ? high : value;
    const auto rounded = static_cast<int32_t>((value + kMagic) - kMagic);
    y[c] = static_cast<uint8_t>((rounded + scaling.y_zero_point) ^ scaling.flip);
  }
}

struct Work {
  const Kernel& kernel;
  const Scaling& scaling;
  const uint8_t* x;
  size_t pixels, channels;
  bool channels_last;
  uint32_t* totals;  // zeroed, [images, channels]
  uint8_t* y;
};

void RunTask(void* user, size_t image) {
  const auto& work = *static_cast<const Work*>(user);
  const auto add = work.channels_last ? work.kernel.add_pixels : work.kernel.add_planes;
  uint32_t* totals = work.totals + image * work.channels;
  add(work.x + image * work.channels * work.pixels, work.pixels, work.channels, work.scaling.flip,
      totals);
  Average(work.scaling, work.pixels, totals, work.channels, work.y + image * work.channels);
}

class QGlobalAveragePoolKernel {
 public:
  static constexpr const char* kName = "QGlobalAveragePool";
  static constexpr size_t kInputCount = 5, kOutputCount = 1;
  static constexpr size_t kVariantCount = 2;  // u8, s8
  static constexpr ElementType InputType(size_t variant, size_t index) {
    if (index == 1 || index == 3) return ElementType::kFloat;
    return variant ? ElementType::kInt8 : ElementType::kUint8;
  }
  static constexpr ElementType OutputType(size_t variant, size_t) { return InputType(variant, 0); }

  explicit QGlobalAveragePoolKernel(const abi::Api* api) : api_(api) {}

  abi::Status* Initialise(const abi::KernelInfo* info);
  abi::Status* Compute(abi::KernelContext* context) const;

 private:
  const abi::Api* api_;
  Where where_;
  size_t rank_;
  Order x_order_, y_order_;
  Scaling scaling_;
  const Kernel* kernel_;
};

abi::Status* QGlobalAveragePoolKernel::Initialise(const abi::KernelInfo* info) {
  where_ = Locate(api_, info, kName);
  const Reader read(api_, info, where_.text);
  rank_ = read.CountInts("x_perm") == 3 ? 3 : 4;
  SQUEEZE_RETURN_IF_ERROR(images::ReadOrders(read, rank_, &x_order_, &y_order_));
  Quantisation x, y;
  SQUEEZE_RETURN_IF_ERROR(read.Quantised(1, "x", &x));
  SQUEEZE_RETURN_IF_ERROR(read.Quantised(3, "y", &y));
  if (!(x.scale / y.scale < kMaxRatio)) {
    return Fail(api_, "%s: x_scale must be below 2^20 * y_scale, got %g and %g", where_.text,
                static_cast<double>(x.scale), static_cast<double>(y.scale));
  }
  const auto flip = static_cast<uint8_t>(x.is_signed ? 0x80 : 0);
  scaling_ = {x.zero_point, y.zero_point, flip, x.scale, y.scale};
  kernel_ = &SelectKernel(KernelIsa());
  return nullptr;
}

abi::Status* QGlobalAveragePoolKernel::Compute(abi::KernelContext* context) const {
  Tensor x;
  SQUEEZE_RETURN_IF_ERROR(images::ReadImages(api_, context, where_.text, 0, "x", rank_, &x));
  const bool x_last = x_order_ == Order::kChannelsLast;
  const size_t channel_at = x_last ? rank_ - 1 : 1;
  int64_t pixels = 1;
  for (size_t i = 1; i < rank_; ++i) {
    // Both factors are below 2^23, so the product does not overflow.
    if (i != channel_at) pixels = x.dims[i] > kTooManyPixels ? 0 : pixels * x.dims[i];
  }
  if (pixels < 1 || pixels >= kTooManyPixels || x.dims[channel_at] < 1) {
    return Fail(api_, "%s: input x is %s, expected channels, and pixels from 1 to %lld",
                where_.text, ShapeOf(x).text, static_cast<long long>(kTooManyPixels - 1));
  }
  Tensor y = images::ShapeOfResults(x.dims[0], x.dims[channel_at], {1, 1, 1, 1}, y_order_, rank_);
  SQUEEZE_RETURN_IF_ERROR(MakeOutput(api_, context, &y));
  if (x.dims[0] == 0) return nullptr;

  const size_t images = x.dims[0], channels = x.dims[channel_at];
  const Memory totals(images * channels * sizeof(uint32_t));
  if (!totals.As<void>()) return Fail(api_, "%s: out of memory", where_.text);
  memset(totals.As<void>(), 0, images * channels * sizeof(uint32_t));
  Work work = {*kernel_, scaling_, x.As<uint8_t>(),       static_cast<size_t>(pixels),
               channels, x_last,   totals.As<uint32_t>(), static_cast<uint8_t*>(y.data)};
  if (images > 1 && x.Count() > kBytesPerTask) {
    return abi::kParallelFor(api_, context, RunTask, images, 0, &work);
  }
  for (size_t image = 0; image < images; ++image) RunTask(&work, image);
  return nullptr;
}

}  // namespace
}  // namespace qpool

OpList QGlobalAveragePool() { return Variants<qpool::QGlobalAveragePoolKernel>::kList; }

}  // namespace squeeze
