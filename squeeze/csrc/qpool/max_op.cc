// QMaxPool as ONNX Runtime sees it: its attributes, the shapes of one call, its division into
// tasks.
#include "base/memory.h"
#include "images/extent.h"
#include "images/layout.h"
#include "qpool/qpool.h"

namespace squeeze {
namespace qpool {
namespace {

using abi::ElementType;
using images::Order;

// Smaller pieces are not worth a thread.
constexpr double kReadsPerTask = 256 * 1024;

struct Work {
  const Kernel& kernel;
  const Window& window;
  MaxTask image;  // of the first image
  int32_t out_h, tasks_per_image, rows_per_task;
};

void RunTask(void* user, size_t index) {
  const auto& work = *static_cast<const Work*>(user);
  const size_t image = index / work.tasks_per_image;
  MaxTask task = work.image;
  task.x += image * task.in_h * task.in_w * task.channels;
  task.y += image * work.out_h * task.out_w * task.channels;
  task.row_begin = static_cast<int32_t>(index % work.tasks_per_image) * work.rows_per_task;
  task.row_end = task.row_begin + work.rows_per_task;
  if (task.row_end > work.out_h) task.row_end = work.out_h;
  work.kernel.max(work.window, task);
}

class QMaxPoolKernel {
 public:
  static constexpr const char* kName = "QMaxPool";
  static constexpr size_t kInputCount = 1, kOutputCount = 1;
  static constexpr size_t kVariantCount = 2;  // u8, s8
  static constexpr ElementType InputType(size_t variant, size_t) {
    return variant ? ElementType::kInt8 : ElementType::kUint8;
  }
  static constexpr ElementType OutputType(size_t variant, size_t) { return InputType(variant, 0); }

  explicit QMaxPoolKernel(const abi::Api* api) : api_(api) {}

  abi::Status* Initialise(const abi::KernelInfo* info);
  abi::Status* Compute(abi::KernelContext* context) const;

 private:
  abi::Status* ReadWindow(const Reader& read, size_t spatial);
  abi::Status* Run(abi::KernelContext* context, int64_t count, Work* work) const;

  const abi::Api* api_;
  Where where_;
  size_t rank_;
  Window window_;
  Order x_order_, y_order_;
  Isa isa_;
  const Kernel* kernel_;
};

abi::Status* QMaxPoolKernel::ReadWindow(const Reader& read, size_t spatial) {
  window_ = {};
  Window& w = window_;
  w.kernel_h = 1;
  int32_t* const kernel[] = {&w.kernel_h, &w.kernel_w};
  SQUEEZE_RETURN_IF_ERROR(read.Sizes("kernel_shape", 1, spatial, kernel + (2 - spatial)));
  SQUEEZE_RETURN_IF_ERROR(images::ReadWindow(read, spatial, &w));
  const int32_t pads[][2] = {{w.pad_top, w.kernel_h},
                             {w.pad_left, w.kernel_w},
                             {w.pad_bottom, w.kernel_h},
                             {w.pad_right, w.kernel_w}};
  for (const auto& [pad, size] : pads) {
    if (pad < size) continue;
    return Fail(api_, "%s: attribute pads has the value %d, expected less than kernel_shape, %d",
                where_.text, pad, size);
  }
  return nullptr;
}

abi::Status* QMaxPoolKernel::Initialise(const abi::KernelInfo* info) {
  where_ = Locate(api_, info, kName);
  const Reader read(api_, info, where_.text);
  const size_t spatial = read.CountInts("kernel_shape");
  if (spatial != 1 && spatial != 2) {
    return Fail(api_, "%s: attribute kernel_shape has %zu integers, expected 1 or 2", where_.text,
                spatial);
  }
  rank_ = spatial + 2;
  SQUEEZE_RETURN_IF_ERROR(ReadWindow(read, spatial));
  SQUEEZE_RETURN_IF_ERROR(images::ReadOrders(read, rank_, &x_order_, &y_order_));
  isa_ = KernelIsa();
  kernel_ = &SelectKernel(isa_);
  return nullptr;
}

abi::Status* QMaxPoolKernel::Run(abi::KernelContext* context, int64_t count, Work* work) const {
  // A product of four sizes, which 64 bits might not hold.
  const double reads_per_row =
      1.0 * work->image.out_w * work->image.channels * window_.kernel_h * window_.kernel_w;
  const double rows = kReadsPerTask / reads_per_row + 1;
  work->rows_per_task = rows < work->out_h ? static_cast<int32_t>(rows) : work->out_h;
  work->tasks_per_image = (work->out_h + work->rows_per_task - 1) / work->rows_per_task;
  const size_t tasks = static_cast<size_t>(count) * work->tasks_per_image;
  if (count * work->out_h * reads_per_row > kReadsPerTask) {
    return abi::kParallelFor(api_, context, RunTask, tasks, 0, work);
  }
  for (size_t task = 0; task < tasks; ++task) RunTask(work, task);
  return nullptr;
}

abi::Status* QMaxPoolKernel::Compute(abi::KernelContext* context) const {
  Tensor x;
  SQUEEZE_RETURN_IF_ERROR(images::ReadImages(api_, context, where_.text, 0, "x", rank_, &x));
  const int64_t channel_count = images::ChannelsOf(x, x_order_);
  if (channel_count < 1 || channel_count > kMaxSize) {
    return Fail(api_, "%s: input x has %lld channels, expected 1 to %lld", where_.text,
                static_cast<long long>(channel_count), static_cast<long long>(kMaxSize));
  }
  images::Extent extent;
  SQUEEZE_RETURN_IF_ERROR(images::ExtentOf(api_, where_.text, x, x_order_, window_, &extent));
  Tensor y = images::ShapeOfResults(x.dims[0], channel_count, extent, y_order_, rank_);
  SQUEEZE_RETURN_IF_ERROR(MakeOutput(api_, context, &y));
  if (x.dims[0] == 0) return nullptr;

  // Kernels are channels-last; the other order is turned around before and after.
  const size_t count = x.dims[0], channels = channel_count;
  const size_t in_pixels = size_t{1} * extent.in_h * extent.in_w;
  const size_t out_pixels = size_t{1} * extent.out_h * extent.out_w;
  const bool turn_x = x_order_ == Order::kChannelsFirst && channels > 1;
  const bool turn_y = y_order_ == Order::kChannelsFirst && channels > 1;
  Memory x_turned, y_turned;
  if (!x_turned.Allocate(turn_x ? count * channels * in_pixels : 0) ||
      !y_turned.Allocate(turn_y ? count * channels * out_pixels : 0)) {
    return Fail(api_, "%s: out of memory", where_.text);
  }
  if (turn_x) {
    images::ToChannelsLast(isa_, x.As<uint8_t>(), count, channels, in_pixels,
                           x_turned.As<uint8_t>(), 0);
  }
  Window window = window_;
  window.flip = x.type == ElementType::kInt8 ? 0x80 : 0;
  const MaxTask image = {turn_x ? x_turned.As<uint8_t>() : x.As<uint8_t>(),
                         turn_y ? y_turned.As<uint8_t>() : static_cast<uint8_t*>(y.data),
                         extent.in_h,
                         extent.in_w,
                         extent.out_w,
                         static_cast<int32_t>(channels),
                         0,
                         0};
  Work work = {*kernel_, window, image, extent.out_h, 1, 1};
  SQUEEZE_RETURN_IF_ERROR(Run(context, x.dims[0], &work));
  if (turn_y) {
    images::ToChannelsFirst(isa_, y_turned.As<uint8_t>(), count, channels, out_pixels,
                            static_cast<uint8_t*>(y.data));
  }
  return nullptr;
}

}  // namespace
}  // namespace qpool

OpList QMaxPool() { return Variants<qpool::QMaxPoolKernel>::kList; }

}  // namespace squeeze
