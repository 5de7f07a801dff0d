// One call of a convolution node: its shapes, its division into tasks, its bytes in the order and
// the sign that kernels take.
#include <string.h>

#include "bytes/bytes.h"
#include "images/extent.h"
#include "images/layout.h"
#include "qconv/node.h"

namespace squeeze::qconv {
namespace {

using images::Extent;
using images::Order;
using product::Conv;

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

void RunTaskAt(void* user, size_t index) {
  auto& work = *static_cast<Work*>(user);
  const Node& node = work.node;
  const Conv& conv = node.layer.conv;
  const Extent& extent = work.extent;
  const size_t image = index / work.tasks_per_image;
  const size_t x_bytes = size_t{1} * extent.in_h * extent.in_w * conv.in_channels;
  const size_t y_bytes = size_t{1} * extent.out_h * extent.out_w * conv.out_channels;
  const int32_t begin = static_cast<int32_t>(index % work.tasks_per_image) * work.rows_per_task;
  const int32_t end = begin + work.rows_per_task;
  const product::Task task = {
      work.x + image * x_bytes,
      work.residual ? work.residual + image * y_bytes : nullptr,
      work.y + image * y_bytes,
      begin,
      end < extent.out_h ? end : extent.out_h,
  };
  if (!product::RunTask(node.layer, node.finish, extent, task, work.scratch_bytes)) {
    __atomic_store_n(&work.out_of_memory, true, __ATOMIC_RELAXED);
  }
}

abi::Status* RunTasks(const abi::Api* api, abi::KernelContext* context, size_t images, Work* work) {
  const Conv& conv = work->node.layer.conv;
  const product::Kernel& kernel = *work->node.layer.kernel;
  const Extent& extent = work->extent;
  work->scratch_bytes = kernel.scratch_bytes(conv, extent);
  const auto weights = static_cast<int64_t>(conv.out_channels * WeightsPerOutput(conv));
  // Equal tasks: the last one to end decides.
  const int64_t pixels = int64_t{extent.out_h} * extent.out_w;
  int64_t tasks = weights * pixels / kernel.macs_per_task;
  if (tasks > pixels / kernel.least_pixels) tasks = pixels / kernel.least_pixels;
  if (tasks < 1) tasks = 1;
  if (tasks > extent.out_h) tasks = extent.out_h;
  work->rows_per_task = static_cast<int32_t>((extent.out_h + tasks - 1) / tasks);
  work->tasks_per_image = (extent.out_h + work->rows_per_task - 1) / work->rows_per_task;
  const size_t total = images * work->tasks_per_image;
  if (total == 1) {
    RunTaskAt(work, 0);
  } else {
    SQUEEZE_RETURN_IF_ERROR(abi::kParallelFor(api, context, RunTaskAt, total, 0, work));
  }
  return work->out_of_memory ? Fail(api, "%s: out of memory", work->node.where.text) : nullptr;
}

// A tensor of images as kernels take it: channels-last and u8. Itself where it is so already.
class KernelImages {
 public:
  // False when there is no memory.
  bool Take(const Node& node, const uint8_t* from, Order order, bool is_signed, size_t images,
            size_t channels, size_t pixels) {
    data_ = from;
    const bool turns = order == Order::kChannelsFirst && channels > 1 && pixels > 1;
    if (!turns && !is_signed) return true;
    const size_t count = images * channels * pixels;
    if (!memory_.Allocate(count)) return false;
    auto* to = memory_.As<uint8_t>();
    if (turns) {
      images::ToChannelsLast(node.isa, from, images, channels, pixels, to,
                             is_signed ? kSignBit : 0);
    } else {
      TurnSigns(node.isa, from, count, to);
    }
    data_ = to;
    return true;
  }
  const uint8_t* data() const { return data_; }

 private:
  Memory memory_;
  const uint8_t* data_ = nullptr;
};

}  // namespace

abi::Status* RunNode(const abi::Api* api, abi::KernelContext* context, const Node& node) {
  const Conv& conv = node.layer.conv;
  const char* where = node.where.text;
  Tensor x, residual = {};
  Work work = {node, {}, nullptr, nullptr, nullptr, 1, 1, 0, false};
  SQUEEZE_RETURN_IF_ERROR(images::ReadImages(api, context, where, 0, "x", node.rank, &x));
  SQUEEZE_RETURN_IF_ERROR(images::CheckChannels(api, where, x, node.x_order, conv.in_channels));
  SQUEEZE_RETURN_IF_ERROR(images::ExtentOf(api, where, x, node.x_order, conv, &work.extent));
  Tensor y =
      images::ShapeOfResults(x.dims[0], conv.out_channels, work.extent, node.y_order, node.rank);
  if (node.residual) {
    SQUEEZE_RETURN_IF_ERROR(
        images::ReadImages(api, context, where, node.residual, "residual", node.rank, &residual));
    if (memcmp(residual.dims, y.dims, y.rank * sizeof *y.dims) != 0) {
      return Fail(api, "%s: input residual is %s, y is %s", where, ShapeOf(residual).text,
                  ShapeOf(y).text);
    }
  }
  SQUEEZE_RETURN_IF_ERROR(MakeOutput(api, context, &y));
  const size_t images = x.dims[0];
  if (images == 0) return nullptr;

  const size_t in_pixels = size_t{1} * work.extent.in_h * work.extent.in_w;
  const size_t out_pixels = size_t{1} * work.extent.out_h * work.extent.out_w;
  const size_t outputs = conv.out_channels;
  const bool turns_y = node.y_order == Order::kChannelsFirst && outputs > 1 && out_pixels > 1;
  KernelImages kernel_x, kernel_residual;
  Memory y_last;
  if (!kernel_x.Take(node, x.As<uint8_t>(), node.x_order, node.x.is_signed, images,
                     conv.in_channels, in_pixels) ||
      (node.residual && !kernel_residual.Take(node, residual.As<uint8_t>(), node.y_order,
                                              node.y.is_signed, images, outputs, out_pixels)) ||
      !y_last.Allocate(turns_y ? images * out_pixels * outputs : 0)) {
    return Fail(api, "%s: out of memory", where);
  }
  work.x = kernel_x.data();
  work.residual = kernel_residual.data();
  work.y = turns_y ? y_last.As<uint8_t>() : static_cast<uint8_t*>(y.data);
  SQUEEZE_RETURN_IF_ERROR(RunTasks(api, context, images, &work));
  if (turns_y) {
    images::ToChannelsFirst(node.isa, work.y, images, outputs, out_pixels,
                            static_cast<uint8_t*>(y.data));
  }
  return nullptr;
}

}  // namespace squeeze::qconv
