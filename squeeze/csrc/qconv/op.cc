// QConv and QConvAdd as ONNX Runtime sees them: shapes of one call, and its division into tasks.
#include <string.h>

#include "base/memory.h"
#include "base/ort_glue.h"
#include "qconv/layout.h"
#include "qconv/node.h"

namespace squeeze {
namespace qconv {
namespace {

using abi::ElementType;

// The scratch of a task lives on its stack up to this size, so that all layers share warm memory.
constexpr size_t kStackScratchBytes = 144 * 1024;

// One call, cut into tasks of some rows of one image each.
struct Work {
  const Node& node;
  Extent extent;
  const uint8_t* x;
  const uint8_t* residual;
  uint8_t* y;
  int32_t tasks_per_image, rows_per_task;
  size_t scratch_bytes;
  bool out_of_memory;
};

void RunTask(void* user, size_t index) {
  auto& work = *static_cast<Work*>(user);
  const Node& node = work.node;
  const Extent& extent = work.extent;
  const size_t image = index / work.tasks_per_image;
  const size_t x_bytes = size_t{1} * extent.in_h * extent.in_w * node.conv.in_channels;
  const size_t y_bytes = size_t{1} * extent.out_h * extent.out_w * node.conv.out_channels;
  const int32_t begin = static_cast<int32_t>(index % work.tasks_per_image) * work.rows_per_task;
  const int32_t end = begin + work.rows_per_task;
  const Task task = {
      work.x + image * x_bytes,
      work.residual ? work.residual + image * y_bytes : nullptr,
      work.y + image * y_bytes,
      begin,
      end < extent.out_h ? end : extent.out_h,
  };
  if (work.scratch_bytes <= kStackScratchBytes) {
    alignas(kAlignment) uint8_t scratch[kStackScratchBytes];
    node.kernel->run(node.conv, node.packed.As<void>(), extent, task, scratch);
    return;
  }
  const Memory scratch(work.scratch_bytes);
  if (scratch.As<void>()) {
    node.kernel->run(node.conv, node.packed.As<void>(), extent, task, scratch.As<void>());
  } else {
    __atomic_store_n(&work.out_of_memory, true, __ATOMIC_RELAXED);
  }
}

int64_t OutputSize(int64_t size, int32_t before, int32_t after, int32_t kernel, int32_t dilation,
                   int32_t stride) {
  const int64_t room = size + before + after - (int64_t{kernel - 1} * dilation + 1);
  return room < 0 ? 0 : room / stride + 1;
}

template <bool kResidual>
class QConvKernel {
 public:
  static constexpr const char* kName = kResidual ? "QConvAdd" : "QConv";
  static constexpr size_t kResidualInput = 8;
  static constexpr size_t kInputCount = kResidual ? 13 : 8;
  static constexpr size_t kOutputCount = 1;
  static constexpr size_t kVariantCount = 1;

  static constexpr ElementType InputType(size_t, size_t index) {
    constexpr ElementType kTypes[] = {
        ElementType::kUint8, ElementType::kFloat, ElementType::kUint8,  // x
        ElementType::kInt8,  ElementType::kFloat, ElementType::kInt32,  // w, bias
        ElementType::kFloat, ElementType::kUint8,                       // y, or the convolution
        ElementType::kUint8, ElementType::kFloat, ElementType::kUint8,  // residual
        ElementType::kFloat, ElementType::kUint8,                       // y
    };
    return kTypes[index];
  }
  static constexpr ElementType OutputType(size_t, size_t) { return ElementType::kUint8; }

  explicit QConvKernel(const abi::Api* api) : api_(api) {}

  abi::Status* Initialise(const abi::KernelInfo* info) {
    return ReadNode(api_, info, kResidual, &node_);
  }

  abi::Status* Compute(abi::KernelContext* context) const;

 private:
  abi::Status* ReadImage(const abi::KernelContext* context, size_t index, const char* name,
                         Tensor* image) const;
  abi::Status* ExtentOf(const Tensor& x, Extent* extent) const;
  abi::Status* RunTasks(abi::KernelContext* context, size_t images, Work* work) const;

  const abi::Api* api_;
  Node node_;
};

template <bool kResidual>
abi::Status* QConvKernel<kResidual>::ReadImage(const abi::KernelContext* context, size_t index,
                                               const char* name, Tensor* image) const {
  const abi::Value* value = nullptr;
  SQUEEZE_RETURN_IF_ERROR(abi::kGetInput(api_, context, index, &value));
  SQUEEZE_RETURN_IF_ERROR(ReadTensor(api_, node_.where.text, value, image));
  if (image->rank == 4) return nullptr;
  return Fail(api_, "%s: input %s has rank %zu, expected 4", node_.where.text, name, image->rank);
}

template <bool kResidual>
abi::Status* QConvKernel<kResidual>::ExtentOf(const Tensor& x, Extent* extent) const {
  const Conv& conv = node_.conv;
  const bool last = node_.x_order == Order::kChannelsLast;
  const int64_t channels = x.dims[last ? 3 : 1];
  const int64_t in_h = x.dims[last ? 1 : 2], in_w = x.dims[last ? 2 : 3];
  if (channels != conv.in_channels) {
    return Fail(api_, "%s: input x has %lld channels, the weights expect %d", node_.where.text,
                static_cast<long long>(channels), conv.in_channels);
  }
  const int64_t out_h = OutputSize(in_h, conv.pad_top, conv.pad_bottom, conv.kernel_h,
                                   conv.dilation_h, conv.stride_h);
  const int64_t out_w = OutputSize(in_w, conv.pad_left, conv.pad_right, conv.kernel_w,
                                   conv.dilation_w, conv.stride_w);
  if (in_h < 1 || in_w < 1 || out_h < 1 || out_w < 1 || in_h > kMaxSize || in_w > kMaxSize) {
    return Fail(api_, "%s: input x is %lld x %lld pixels, too few for the kernel or above %lld",
                node_.where.text, static_cast<long long>(in_h), static_cast<long long>(in_w),
                static_cast<long long>(kMaxSize));
  }
  *extent = {static_cast<int32_t>(in_h), static_cast<int32_t>(in_w), static_cast<int32_t>(out_h),
             static_cast<int32_t>(out_w)};
  return nullptr;
}

template <bool kResidual>
abi::Status* QConvKernel<kResidual>::RunTasks(abi::KernelContext* context, size_t images,
                                              Work* work) const {
  const Conv& conv = node_.conv;
  const Extent& extent = work->extent;
  work->scratch_bytes = node_.kernel->scratch_bytes(conv, extent);
  const int64_t macs_per_row = int64_t{extent.out_w} * conv.out_channels *
                               (conv.in_channels / conv.groups) * conv.kernel_h * conv.kernel_w;
  const int64_t rows = node_.kernel->macs_per_task / macs_per_row + 1;
  work->rows_per_task = rows < extent.out_h ? static_cast<int32_t>(rows) : extent.out_h;
  work->tasks_per_image = (extent.out_h + work->rows_per_task - 1) / work->rows_per_task;
  const size_t total = images * work->tasks_per_image;
  if (total == 1) {
    RunTask(work, 0);
  } else {
    SQUEEZE_RETURN_IF_ERROR(abi::kParallelFor(api_, context, RunTask, total, 0, work));
  }
  return work->out_of_memory ? Fail(api_, "%s: out of memory", node_.where.text) : nullptr;
}

template <bool kResidual>
abi::Status* QConvKernel<kResidual>::Compute(abi::KernelContext* context) const {
  const Conv& conv = node_.conv;
  Tensor x, residual = {};
  Work work = {node_, {}, nullptr, nullptr, nullptr, 1, 1, 0, false};
  SQUEEZE_RETURN_IF_ERROR(ReadImage(context, 0, "x", &x));
  SQUEEZE_RETURN_IF_ERROR(ExtentOf(x, &work.extent));
  const bool y_last = node_.y_order == Order::kChannelsLast;
  const int64_t images = x.dims[0], out_h = work.extent.out_h, out_w = work.extent.out_w;
  const int64_t y_dims[4] = {images, y_last ? out_h : conv.out_channels, y_last ? out_w : out_h,
                             y_last ? conv.out_channels : out_w};
  if constexpr (kResidual) {
    SQUEEZE_RETURN_IF_ERROR(ReadImage(context, kResidualInput, "residual", &residual));
    const int64_t (&got)[kMaxRank] = residual.dims;
    if (memcmp(got, y_dims, sizeof y_dims) != 0) {
      return Fail(api_,
                  "%s: input residual is [%lld, %lld, %lld, %lld], y is [%lld, %lld, %lld, %lld]",
                  node_.where.text, static_cast<long long>(got[0]), static_cast<long long>(got[1]),
                  static_cast<long long>(got[2]), static_cast<long long>(got[3]),
                  static_cast<long long>(y_dims[0]), static_cast<long long>(y_dims[1]),
                  static_cast<long long>(y_dims[2]), static_cast<long long>(y_dims[3]));
    }
  }
  abi::Value* output = nullptr;
  void* y = nullptr;
  SQUEEZE_RETURN_IF_ERROR(abi::kGetOutput(api_, context, 0, y_dims, 4, &output));
  SQUEEZE_RETURN_IF_ERROR(abi::kGetTensorMutableData(api_, output, &y));
  if (images == 0) return nullptr;

  // Kernels are channels-last; the other order is turned around before and after.
  const size_t in_pixels = size_t{1} * work.extent.in_h * work.extent.in_w;
  const size_t out_pixels = out_h * out_w;
  const bool turn_x = node_.x_order != Order::kChannelsLast, turn_y = !y_last;
  const size_t y_bytes = turn_y ? images * out_pixels * conv.out_channels : 0;
  Memory x_last_memory, y_last_memory, residual_last_memory;
  if (!x_last_memory.Allocate(turn_x ? images * in_pixels * conv.in_channels : 0) ||
      !y_last_memory.Allocate(y_bytes) || !residual_last_memory.Allocate(kResidual ? y_bytes : 0)) {
    return Fail(api_, "%s: out of memory", node_.where.text);
  }
  work.x = x.As<uint8_t>();
  work.residual = residual.As<uint8_t>();
  work.y = turn_y ? y_last_memory.As<uint8_t>() : static_cast<uint8_t*>(y);
  if (turn_x) {
    ToChannelsLast(node_.isa, work.x, images, conv.in_channels, in_pixels,
                   x_last_memory.As<uint8_t>());
    work.x = x_last_memory.As<uint8_t>();
  }
  if (kResidual && turn_y) {
    ToChannelsLast(node_.isa, work.residual, images, conv.out_channels, out_pixels,
                   residual_last_memory.As<uint8_t>());
    work.residual = residual_last_memory.As<uint8_t>();
  }
  SQUEEZE_RETURN_IF_ERROR(RunTasks(context, images, &work));
  if (turn_y) {
    ToChannelsFirst(work.y, images, conv.out_channels, out_pixels, static_cast<uint8_t*>(y));
  }
  return nullptr;
}

}  // namespace
}  // namespace qconv

OpList QConv() { return Variants<qconv::QConvKernel<false>>::kList; }
OpList QConvAdd() { return Variants<qconv::QConvKernel<true>>::kList; }

}  // namespace squeeze
