// QMaxPool as ONNX Runtime sees it: its attributes, the shapes of one call, its division into
// tasks.
#include <initializer_list>

#include "base//memory.h"
#include "qconv/layout.h"
#include "qpool/order.h"
#include "qpool/qpool.h"

namespace squeeze {
namespace qpool {
namespace {

using abi::ElementType;

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

int64_t OutputSize(int64_t size, int32_t before, int32_t after, int32_t kernel, int32_t dilation,
                   int32_t stride) {
  const int64_t room = size + before + after - (int64_t{kernel - 1} * dilation + 1);
  return room < 0 ? 0 : room / stride + 1;
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
  // x with a height of 1 when it has one spatial dimension, as channels-first dimensions.
  abi::Status* ReadImages(const abi::KernelContext* context, Tensor* x, int64_t (&dims)[4]) const;
  abi::Status* Run(abi::KernelContext* context, int64_t images, Work* work) const;

  const abi::Api* api_;
  Where where_;
  size_t rank_;
  Window window_;
  int32_t pad_bottom_, pad_right_;
  bool x_last_, y_last_;
  Isa isa_;
  const Kernel* kernel_;
};

abi::Status* QMaxPoolKernel::ReadWindow(const Reader& read, size_t spatial) {
  Window& w = window_;
  w = {1, 1, 1, 1, 1, 1, 0, 0, 0};
  pad_bottom_ = pad_right_ = 0;
  const bool flat = spatial == 1;
  int32_t* const kernel[] = {flat ? &w.kernel_w : &w.kernel_h, &w.kernel_w};
  int32_t* const strides[] = {flat ? &w.stride_w : &w.stride_h, &w.stride_w};
  int32_t* const dilations[] = {flat ? &w.dilation_w : &w.dilation_h, &w.dilation_w};
  int32_t* const pads[] = {flat ? &w.pad_left : &w.pad_top, flat ? &pad_right_ : &w.pad_left,
                           &pad_bottom_, &pad_right_};
  SQUEEZE_RETURN_IF_ERROR(read.Sizes("kernel_shape", 1, spatial, kernel));
  SQUEEZE_RETURN_IF_ERROR(read.Sizes("strides", 1, spatial, strides));
  SQUEEZE_RETURN_IF_ERROR(read.Sizes("dilations", 1, spatial, dilations));
  SQUEEZE_RETURN_IF_ERROR(read.Sizes("pads", 0, 2 * spatial, pads));
  for (size_t i = 0; i < 2 * spatial; ++i) {
    if (*pads[i] < *kernel[i % spatial]) continue;
    return Fail(api_, "%s: attribute pads has the value %d, expected less than kernel_shape, %d",
                where_.text, *pads[i], *kernel[i % spatial]);
  }
  return nullptr;
}

abi::Status* QMaxPoolKernel::Initialise(const abi::KernelInfo* info) {
  where_ = Locate(api_, info, kName);
  const Reader read(api_, info, where_.text);
  size_t spatial = 0;
  if (abi::Status* status = abi::kGetAttributeInts(api_, info, "kernel_shape", nullptr, &spatial)) {
    abi::kReleaseStatus(api_, status);
  }
  if (spatial != 1 && spatial != 2) {
    return Fail(api_, "%s: attribute kernel_shape has %zu integers, expected 1 or 2", where_.text,
                spatial);
  }
  rank_ = spatial + 2;
  SQUEEZE_RETURN_IF_ERROR(ReadWindow(read, spatial));
  SQUEEZE_RETURN_IF_ERROR(ReadOrder(read, "x_perm", false, rank_, &x_last_));
  SQUEEZE_RETURN_IF_ERROR(ReadOrder(read, "y_perm", true, rank_, &y_last_));
  // RegisterCustomOps refused an unknown name; it was changed since.
  if (!SelectIsa(&isa_)) isa_ = Isa::kPortable;
  kernel_ = &SelectKernel(isa_);
  return nullptr;
}

abi::Status* QMaxPoolKernel::ReadImages(const abi::KernelContext* context, Tensor* x,
                                        int64_t (&dims)[4]) const {
  const abi::Value* value = nullptr;
  SQUEEZE_RETURN_IF_ERROR(abi::kGetInput(api_, context, 0, &value));
  SQUEEZE_RETURN_IF_ERROR(ReadTensor(api_, where_.text, value, x));
  if (x->rank != rank_) {
    return Fail(api_, "%s: input x has rank %zu, expected %zu", where_.text, x->rank, rank_);
  }
  const size_t spatial_at = x_last_ ? 1 : 2;
  dims[0] = x->dims[0];
  dims[1] = x->dims[x_last_ ? rank_ - 1 : 1];
  dims[2] = rank_ == 3 ? 1 : x->dims[spatial_at];
  dims[3] = x->dims[spatial_at + rank_ - 3];
  for (const int64_t size : {dims[1], dims[2], dims[3]}) {
    if (size >= 1 && size <= kMaxSize) continue;
    return Fail(api_, "%s: input x is %s, expected channels and sizes from 1 to %lld", where_.text,
                ShapeOf(*x).text, static_cast<long long>(kMaxSize));
  }
  return nullptr;
}

abi::Status* QMaxPoolKernel::Run(abi::KernelContext* context, int64_t images, Work* work) const {
  // A product of four sizes, which 64 bits might not hold.
  const double reads_per_row =
      1.0 * work->image.out_w * work->image.channels * window_.kernel_h * window_.kernel_w;
  const double rows = kReadsPerTask / reads_per_row + 1;
  work->rows_per_task = rows < work->out_h ? static_cast<int32_t>(rows) : work->out_h;
  work->tasks_per_image = (work->out_h + work->rows_per_task - 1) / work->rows_per_task;
  const size_t tasks = static_cast<size_t>(images) * work->tasks_per_image;
  if (images * work->out_h * reads_per_row > kReadsPerTask) {
    return abi::kParallelFor(api_, context, RunTask, tasks, 0, work);
  }
  for (size_t task = 0; task < tasks; ++task) RunTask(work, task);
  return nullptr;
}

abi::Status* QMaxPoolKernel::Compute(abi::KernelContext* context) const {
  Tensor x;
  int64_t in[4] = {};
  SQUEEZE_RETURN_IF_ERROR(ReadImages(context, &x, in));
  const Window& w = window_;
  const int64_t out_h =
      OutputSize(in[2], w.pad_top, pad_bottom_, w.kernel_h, w.dilation_h, w.stride_h);
  const int64_t out_w =
      OutputSize(in[3], w.pad_left, pad_right_, w.kernel_w, w.dilation_w, w.stride_w);
  if (out_h < 1 || out_w < 1) {
    return Fail(api_, "%s: input x is %s, too few pixels for the kernel", where_.text,
                ShapeOf(x).text);
  }
  const size_t spatial_at = y_last_ ? 1 : 2;
  int64_t y_dims[4] = {in[0]};
  y_dims[y_last_ ? rank_ - 1 : 1] = in[1];
  y_dims[spatial_at] = out_h;  // overwritten where there is one spatial dimension
  y_dims[spatial_at + rank_ - 3] = out_w;
  abi::Value* output = nullptr;
  void* y = nullptr;
  SQUEEZE_RETURN_IF_ERROR(abi::kGetOutput(api_, context, 0, y_dims, rank_, &output));
  SQUEEZE_RETURN_IF_ERROR(abi::kGetTensorMutableData(api_, output, &y));
  if (in[0] == 0) return nullptr;

  // Kernels are channels-last; the other order is turned around before and after.
  const size_t images = in[0], channels = in[1];
  const size_t in_pixels = in[2] * in[3], out_pixels = out_h * out_w;
  const bool turn_x = !x_last_ && channels > 1, turn_y = !y_last_ && channels > 1;
  Memory x_turned, y_turned;
  if (!x_turned.Allocate(turn_x ? images * channels * in_pixels : 0) ||
      !y_turned.Allocate(turn_y ? images * channels * out_pixels : 0)) {
    return Fail(api_, "%s: out of memory", where_.text);
  }
  if (turn_x) {
    qconv::ToChannelsLast(isa_, x.As<uint8_t>(), images, channels, in_pixels,
                          x_turned.As<uint8_t>(), 0);
  }
  Window window = window_;
  window.flip = x.type == ElementType::kInt8 ? 0x80 : 0;
  const MaxTask image = {turn_x ? x_turned.As<uint8_t>() : x.As<uint8_t>(),
                         turn_y ? y_turned.As<uint8_t>() : static_cast<uint8_t*>(y),
                         static_cast<int32_t>(in[2]),
                         static_cast<int32_t>(in[3]),
                         static_cast<int32_t>(out_w),
                         static_cast<int32_t>(channels),
                         0,
                         0};
  Work work = {*kernel_, window, image, static_cast<int32_t>(out_h), 1, 1};
  SQUEEZE_RETURN_IF_ERROR(Run(context, in[0], &work));
  if (turn_y) {
    qconv::ToChannelsFirst(isa_, y_turned.As<uint8_t>(), images, channels, out_pixels,
                           static_cast<uint8_t*>(y));
  }
  return nullptr;
}

}  // namespace
}  // namespace qpool

OpList QMaxPool() { return Variants<qpool::QMaxPoolKernel>::kList; }

}  // namespace squeeze
