// CodebookConv and CodebookGemm as ONNX Runtime sees them: shapes of one call, and its division
// into tasks.
#include <limits.h>

#include "base/memory.h"
#include "base/ort_glue.h"
#include "codebook/node.h"
#include "codebook/planes.h"
#include "codebook/stream.h"

namespace squeeze {
namespace codebook {
namespace {

using abi::ElementType;

// The scratch of a task lives on its stack up to this size, so that all layers share warm memory.
constexpr size_t kStackScratchBytes = 144 * 1024;
// Smaller pieces, in multiplications, are not worth a thread.
constexpr int64_t kWorkPerTask = 1'000'000;
// Decoding a weight takes as long as so many multiplications; tasks that share channels but not
// rows decode the same weights again, so they have so many pixels at least.
constexpr int64_t kDecodingWork = 8;
constexpr int64_t kMinPixels = 128;

// One call, cut into tasks: some rows and some channels of one image each.
struct Work {
  const Node& node;
  Extent extent;
  const float* x;
  float* y;
  int32_t row_tasks, rows_per_task, channel_tasks, channels_per_task;
  size_t scratch_bytes;
  bool out_of_memory;
};

// Cut by channels first: such tasks decode nothing twice.
void Cut(const Layer& layer, Work* work) {
  const Extent& extent = work->extent;
  const int64_t pixels = int64_t{extent.out_h} * extent.out_w;
  const auto weights = static_cast<int64_t>(layer.out_channels * WeightsPerOutput(layer));
  const int64_t wanted = weights * (pixels + kDecodingWork) / kWorkPerTask + 1;
  const int32_t steps =
      layer.groups == 1 ? (layer.out_channels + kChannelStep - 1) / kChannelStep : 1;
  const int32_t by_channels = wanted < steps ? static_cast<int32_t>(wanted) : steps;
  const int32_t steps_per_task = (steps + by_channels - 1) / by_channels;
  work->channels_per_task = layer.groups == 1 ? steps_per_task * kChannelStep : layer.out_channels;
  work->channel_tasks = (steps + steps_per_task - 1) / steps_per_task;
  const int64_t enough = pixels / kMinPixels < extent.out_h ? pixels / kMinPixels : extent.out_h;
  const int64_t by_rows = wanted / by_channels < enough ? wanted / by_channels : enough;
  const auto row_tasks = static_cast<int32_t>(by_rows < 1 ? 1 : by_rows);
  work->rows_per_task = (extent.out_h + row_tasks - 1) / row_tasks;
  work->row_tasks = (extent.out_h + work->rows_per_task - 1) / work->rows_per_task;
}

void RunTask(void* user, size_t index) {
  auto& work = *static_cast<Work*>(user);
  const Node& node = work.node;
  const Layer& layer = node.layer;
  const Extent& extent = work.extent;
  const auto of_image = static_cast<size_t>(work.row_tasks) * work.channel_tasks;
  const size_t image = index / of_image;
  const auto cell = static_cast<int32_t>(index % of_image);
  const int32_t row = cell / work.channel_tasks * work.rows_per_task;
  const int32_t channel = cell % work.channel_tasks * work.channels_per_task;
  const int32_t row_end = row + work.rows_per_task;
  const int32_t channel_end = channel + work.channels_per_task;
  const Task task = {
      work.x + image * extent.in_h * extent.in_w * layer.in_channels,
      work.y + image * extent.out_h * extent.out_w * layer.out_channels,
      row,
      row_end < extent.out_h ? row_end : extent.out_h,
      channel,
      channel_end < layer.out_channels ? channel_end : layer.out_channels,
  };
  if (work.scratch_bytes <= kStackScratchBytes) {
    alignas(kAlignment) uint8_t scratch[kStackScratchBytes];
    node.kernel->run(layer, node.packed.As<void>(), extent, task, scratch);
    return;
  }
  const Memory scratch(work.scratch_bytes);
  if (scratch.As<void>()) {
    node.kernel->run(layer, node.packed.As<void>(), extent, task, scratch.As<void>());
  } else {
    __atomic_store_n(&work.out_of_memory, true, __ATOMIC_RELAXED);
  }
}

abi::Status* RunTasks(const abi::Api* api, abi::KernelContext* context, size_t images, Work* work) {
  Cut(work->node.layer, work);
  work->scratch_bytes =
      work->node.kernel->scratch_bytes(work->node.layer, work->extent, work->rows_per_task);
  const size_t total = images * work->row_tasks * work->channel_tasks;
  if (total == 1) {
    RunTask(work, 0);
  } else {
    SQUEEZE_RETURN_IF_ERROR(abi::kParallelFor(api, context, RunTask, total, 0, work));
  }
  return work->out_of_memory ? Fail(api, "%s: out of memory", work->node.where.text) : nullptr;
}

int64_t OutputSize(int64_t size, int32_t before, int32_t after, int32_t kernel, int32_t dilation,
                   int32_t stride) {
  const int64_t room = size + before + after - (int64_t{kernel - 1} * dilation + 1);
  return room < 0 ? 0 : room / stride + 1;
}

// What both ops have in common: four inputs, one output.
class FloatKernel {
 public:
  static constexpr size_t kInputCount = 4;
  static constexpr size_t kOutputCount = 1;
  static constexpr size_t kVariantCount = 1;
  static constexpr ElementType InputType(size_t, size_t index) {
    return index == 1 ? ElementType::kUint8 : ElementType::kFloat;
  }
  static constexpr ElementType OutputType(size_t, size_t) { return ElementType::kFloat; }

  explicit FloatKernel(const abi::Api* api) : api_(api) {}

 protected:
  abi::Status* Input(abi::KernelContext* context, Tensor* tensor) const {
    const abi::Value* value = nullptr;
    SQUEEZE_RETURN_IF_ERROR(abi::kGetInput(api_, context, 0, &value));
    return ReadTensor(api_, node_.where.text, value, tensor);
  }
  abi::Status* Output(abi::KernelContext* context, const int64_t* dims, size_t rank,
                      float** y) const {
    abi::Value* output = nullptr;
    void* data = nullptr;
    SQUEEZE_RETURN_IF_ERROR(abi::kGetOutput(api_, context, 0, dims, rank, &output));
    SQUEEZE_RETURN_IF_ERROR(abi::kGetTensorMutableData(api_, output, &data));
    *y = static_cast<float*>(data);
    return nullptr;
  }

  const abi::Api* api_;
  Node node_;
};

class CodebookGemmKernel : public FloatKernel {
 public:
  static constexpr const char* kName = "CodebookGemm";
  using FloatKernel::FloatKernel;

  abi::Status* Initialise(const abi::KernelInfo* info) { return ReadGemm(api_, info, &node_); }

  abi::Status* Compute(abi::KernelContext* context) const {
    const Layer& layer = node_.layer;
    Tensor a;
    SQUEEZE_RETURN_IF_ERROR(Input(context, &a));
    if (a.rank < 1 || a.dims[a.rank - 1] != layer.in_channels) {
      return Fail(api_, "%s: input a has rank %zu and a last dimension of %lld, w_shape expects %d",
                  node_.where.text, a.rank, static_cast<long long>(a.rank ? a.dims[a.rank - 1] : 0),
                  layer.in_channels);
    }
    const int64_t rows = a.Count() / layer.in_channels;
    if (rows > INT_MAX) {
      return Fail(api_, "%s: input a has %lld rows, expected up to %d", node_.where.text,
                  static_cast<long long>(rows), INT_MAX);
    }
    a.dims[a.rank - 1] = layer.out_channels;
    const auto height = static_cast<int32_t>(rows);
    Work work = {node_, {height, 1, height, 1}, a.As<float>(), nullptr, 1, 1, 1, 1, 0, false};
    SQUEEZE_RETURN_IF_ERROR(Output(context, a.dims, a.rank, &work.y));
    return rows ? RunTasks(api_, context, 1, &work) : nullptr;
  }
};

class CodebookConvKernel : public FloatKernel {
 public:
  static constexpr const char* kName = "CodebookConv";
  using FloatKernel::FloatKernel;

  abi::Status* Initialise(const abi::KernelInfo* info) { return ReadConv(api_, info, &node_); }

  abi::Status* Compute(abi::KernelContext* context) const {
    const Layer& layer = node_.layer;
    Tensor x;
    SQUEEZE_RETURN_IF_ERROR(Input(context, &x));
    if (x.rank != node_.rank) {
      return Fail(api_, "%s: input x has rank %zu, expected %zu", node_.where.text, x.rank,
                  node_.rank);
    }
    Work work = {node_, {}, x.As<float>(), nullptr, 1, 1, 1, 1, 0, false};
    SQUEEZE_RETURN_IF_ERROR(ExtentOf(x, &work.extent));
    const Extent& extent = work.extent;
    const bool turn_x = node_.x_order != Order::kChannelsLast;
    const bool turn_y = node_.y_order != Order::kChannelsLast;
    const int64_t images = x.dims[0];
    int64_t y_dims[4];
    int64_t* to = y_dims;
    *to++ = images;
    if (turn_y) *to++ = layer.out_channels;
    if (node_.rank == 4) *to++ = extent.out_h;
    *to++ = extent.out_w;
    if (!turn_y) *to++ = layer.out_channels;
    float* y = nullptr;
    SQUEEZE_RETURN_IF_ERROR(Output(context, y_dims, node_.rank, &y));
    if (images == 0) return nullptr;

    // Kernels are channels-last; the other order is turned around before and after.
    const size_t in_pixels = size_t{1} * extent.in_h * extent.in_w;
    const size_t out_pixels = size_t{1} * extent.out_h * extent.out_w;
    Memory x_last, y_last;
    if (!x_last.Allocate(turn_x ? images * in_pixels * layer.in_channels * sizeof(float) : 0) ||
        !y_last.Allocate(turn_y ? images * out_pixels * layer.out_channels * sizeof(float) : 0)) {
      return Fail(api_, "%s: out of memory", node_.where.text);
    }
    if (turn_x) {
      ToChannelsLast(work.x, images, layer.in_channels, in_pixels, x_last.As<float>());
      work.x = x_last.As<float>();
    }
    work.y = turn_y ? y_last.As<float>() : y;
    SQUEEZE_RETURN_IF_ERROR(RunTasks(api_, context, images, &work));
    if (turn_y) ToChannelsFirst(work.y, images, layer.out_channels, out_pixels, y);
    return nullptr;
  }

 private:
  abi::Status* ExtentOf(const Tensor& x, Extent* extent) const {
    const Layer& layer = node_.layer;
    const bool last = node_.x_order == Order::kChannelsLast;
    const int64_t* image = x.dims + (last ? 1 : 2);
    const int64_t channels = x.dims[last ? node_.rank - 1 : 1];
    const int64_t in_h = node_.rank == 4 ? image[0] : 1, in_w = image[node_.rank - 3];
    if (channels != layer.in_channels) {
      return Fail(api_, "%s: input x has %lld channels, w_shape expects %d", node_.where.text,
                  static_cast<long long>(channels), layer.in_channels);
    }
    const int64_t out_h = OutputSize(in_h, layer.pad_top, layer.pad_bottom, layer.kernel_h,
                                     layer.dilation_h, layer.stride_h);
    const int64_t out_w = OutputSize(in_w, layer.pad_left, layer.pad_right, layer.kernel_w,
                                     layer.dilation_w, layer.stride_w);
    if (in_h < 1 || in_w < 1 || out_h < 1 || out_w < 1 || in_h > kMaxSize || in_w > kMaxSize) {
      return Fail(api_, "%s: input x is %lld x %lld pixels, too few for the kernel or above %lld",
                  node_.where.text, static_cast<long long>(in_h), static_cast<long long>(in_w),
                  static_cast<long long>(kMaxSize));
    }
    *extent = {static_cast<int32_t>(in_h), static_cast<int32_t>(in_w), static_cast<int32_t>(out_h),
               static_cast<int32_t>(out_w)};
    return nullptr;
  }
};

}  // namespace
}  // namespace codebook

OpList CodebookConv() { return Variants<codebook::CodebookConvKernel>::kList; }
OpList CodebookGemm() { return Variants<codebook::CodebookGemmKernel>::kList; }

}  // namespace squeeze
