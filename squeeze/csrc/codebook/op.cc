// CodebookConv and CodebookGemm as ONNX Runtime sees them: shapes of one call, and its division
// into tasks.
#include "base/scratch.h"
#include "codebook/node.h"
#include "codebook/stream.h"
#include "images/extent.h"
#include "images/float_layout.h"

namespace squeeze {
namespace codebook {
namespace {

using abi::ElementType;
using images::Order;

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
  const size_t cell = index % of_image;
  const int32_t row = static_cast<int32_t>(cell / work.channel_tasks) * work.rows_per_task;
  const int32_t channel = static_cast<int32_t>(cell % work.channel_tasks) * work.channels_per_task;
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
  const bool ran = WithScratch(work.scratch_bytes, [&](void* scratch) {
    node.kernel->run(layer, node.packed.As<void>(), extent, task, scratch);
  });
  if (!ran) __atomic_store_n(&work.out_of_memory, true, __ATOMIC_RELAXED);
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
    SQUEEZE_RETURN_IF_ERROR(ReadInput(api_, context, node_.where.text, 0, &a));
    if (a.rank < 1 || a.dims[a.rank - 1] != layer.in_channels) {
      return Fail(api_,
                  "%s: input a has rank %zu and a last dimension of %lld, the weights expect %d",
                  node_.where.text, a.rank, static_cast<long long>(a.rank ? a.dims[a.rank - 1] : 0),
                  layer.in_channels);
    }
    const int64_t rows = a.Count() / layer.in_channels;
    if (rows > images::kMaxPixels) {
      return Fail(api_, "%s: input a has %lld rows, expected up to %lld", node_.where.text,
                  static_cast<long long>(rows), static_cast<long long>(images::kMaxPixels));
    }
    Tensor y = a;
    y.dims[a.rank - 1] = layer.out_channels;
    SQUEEZE_RETURN_IF_ERROR(MakeOutput(api_, context, &y));
    const auto height = static_cast<int32_t>(rows);
    Work work = {
        node_, {height, 1, height, 1}, a.As<float>(), static_cast<float*>(y.data), 1, 1, 1, 1, 0,
        false};
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
    const char* where = node_.where.text;
    Tensor x;
    SQUEEZE_RETURN_IF_ERROR(images::ReadImages(api_, context, where, 0, "x", node_.rank, &x));
    SQUEEZE_RETURN_IF_ERROR(
        images::CheckChannels(api_, where, x, node_.x_order, layer.in_channels));
    Work work = {node_, {}, x.As<float>(), nullptr, 1, 1, 1, 1, 0, false};
    SQUEEZE_RETURN_IF_ERROR(images::ExtentOf(api_, where, x, node_.x_order, layer, &work.extent));
    const Extent& extent = work.extent;
    const int64_t count = x.dims[0];
    Tensor result =
        images::ShapeOfResults(count, layer.out_channels, extent, node_.y_order, node_.rank);
    SQUEEZE_RETURN_IF_ERROR(MakeOutput(api_, context, &result));
    auto* y = static_cast<float*>(result.data);
    if (count == 0) return nullptr;

    // Kernels are channels-last; the other order is turned around before and after.
    const size_t in_pixels = size_t{1} * extent.in_h * extent.in_w;
    const size_t out_pixels = size_t{1} * extent.out_h * extent.out_w;
    const bool turn_x = node_.x_order == Order::kChannelsFirst;
    const bool turn_y = node_.y_order == Order::kChannelsFirst;
    Memory x_last, y_last;
    if (!x_last.Allocate(turn_x ? count * in_pixels * layer.in_channels * sizeof(float) : 0) ||
        !y_last.Allocate(turn_y ? count * out_pixels * layer.out_channels * sizeof(float) : 0)) {
      return Fail(api_, "%s: out of memory", where);
    }
    if (turn_x) {
      images::ToChannelsLast(work.x, count, layer.in_channels, in_pixels, x_last.As<float>());
      work.x = x_last.As<float>();
    }
    work.y = turn_y ? y_last.As<float>() : y;
    SQUEEZE_RETURN_IF_ERROR(RunTasks(api_, context, count, &work));
    if (turn_y) images::ToChannelsFirst(work.y, count, layer.out_channels, out_pixels, y);
    return nullptr;
  }
};

}  // namespace
}  // namespace codebook

OpList CodebookConv() { return Variants<codebook::CodebookConvKernel>::kList; }
OpList CodebookGemm() { return Variants<codebook::CodebookGemmKernel>::kList; }

}  // namespace squeeze
