// Dense convolution with decoded weights, any kernel size, stride, dilation and padding.
//
// Indices lie as they are looked up: a 16-byte lane of a vector belongs to one output channel,
// holds 16 consecutive weights of its window, and meets the table of that channel in the same lane
// of a register. Four such vectors are 16 channels.
//
//   few pixels   a vector of weights is multiplied as it is, with 16 bytes of the window in all
//                lanes; every block of weights is decoded once for all pixels.
//   many pixels  two groups of 16 channels are decoded and transposed into a panel in the cache,
//                which the blocks of the dense kernel then read.
#include "product/x86_avx512_blocks.h"
#include "qcodebook/x86_avx512_few.h"

namespace squeeze::qcodebook {
namespace {

// Slots in the order of product::Layout, whose groups here end with whole blocks.
struct Plan {
  product::Layout panel;
  Tables tables;
};

template <int kBits>
SQUEEZE_INLINE Plan PlanOf(const Conv& conv) {
  product::Layout panel = LayoutOf(conv);
  const Tables tables =
      TablesFor<kBits>(conv.out_channels, static_cast<int32_t>(panel.group_bytes / kLanes));
  panel.group_bytes = tables.panel_bytes;
  return {panel, tables};
}

bool Supports(const Conv& conv) { return conv.groups == 1; }

template <int kBits>
size_t PackedBytes(const Conv& conv) {
  return PlanOf<kBits>(conv).tables.bytes;
}

SQUEEZE_INLINE int32_t SlotOf(const Conv& conv, const product::Layout& layout, int32_t i,
                              int32_t kh, int32_t kw) {
  const bool joined = layout.runs_per_row == 1;
  const int32_t run = kh * layout.runs_per_row + (joined ? 0 : kw);
  return run * layout.run_bytes + (joined ? kw * conv.in_channels : 0) + i;
}

template <int kBits>
void PackWeights(const Conv& conv, const Weights& weights, void* packed) {
  const Plan plan = PlanOf<kBits>(conv);
  PackIndices<kBits>(conv, weights, plan.tables, packed, [&](int32_t i, int32_t kh, int32_t kw) {
    return SlotOf(conv, plan.panel, i, kh, kw);
  });
}

// What stays the same for all blocks of a call.
struct Call {
  const Conv& conv;
  const Plan& plan;
  const Coded& view;
  const Requant& q;
};

// Copies the window at `x` to `to`, with zeros in slots without a weight.
SQUEEZE_INLINE void CopyWindow(const Conv& conv, const Plan& plan, const uint8_t* x, size_t pitch,
                               uint8_t* to) {
  const product::Layout& layout = plan.panel;
  const size_t run_bytes =
      size_t{1} * conv.in_channels * (layout.runs_per_row == 1 ? conv.kernel_w : 1);
  memset(to, 0, size_t{1} * plan.tables.blocks * kBlock);
  for (int32_t kh = 0; kh < conv.kernel_h; ++kh) {
    const uint8_t* run = x + kh * conv.dilation_h * pitch;
    for (int32_t r = 0; r < layout.runs_per_row; ++r, to += layout.run_bytes) {
      memcpy(to, run, run_bytes);
      run += size_t{1} * conv.dilation_w * conv.in_channels;
    }
  }
}

// The rows begin .. end - 1, whose first window is at `x`, by panels.
template <int kBits>
void Rows(const Call& call, const Extent& extent, const Task& task, const uint8_t* x, size_t pitch,
          int32_t begin, int32_t end, int8_t* panel) {
  const Conv& conv = call.conv;
  const product::Layout& layout = call.plan.panel;
  const size_t channels = conv.out_channels;
  const size_t pixel_step = size_t{1} * conv.stride_w * conv.in_channels;
  // Rows that follow each other without a gap are one long row.
  const bool joins = conv.kernel_h == 1 && conv.stride_h == 1 && pitch == extent.out_w * pixel_step;
  const int32_t rows = joins ? 1 : end - begin;
  const int32_t count = joins ? (end - begin) * extent.out_w : extent.out_w;
  for (int32_t group = 0; group < layout.groups; group += 2) {
    const int32_t first = group * kLanes, left = conv.out_channels - first;
    DecodePanel<kBits>(call.plan.tables, call.view, group, panel);
    if (left > kLanes) {
      DecodePanel<kBits>(call.plan.tables, call.view, group + 1, panel + layout.group_bytes);
    }
    const product::Packed decoded = {call.view.bias + first, call.view.multiplier + first, panel};
    const Job job = {conv, layout, decoded, call.q, pitch, pixel_step};
    const Tables& tables = call.plan.tables;
    const uint8_t* ahead =
        call.view.indices + (group + 2) * (size_t{1} * tables.blocks * tables.block_bytes);
    for (int32_t row = 0; row < rows; ++row) {
      const uint8_t* at = x + size_t{1} * row * conv.stride_h * pitch;
      const size_t out = size_t{1} * (begin + row) * extent.out_w * channels + first;
      const uint8_t* residual = task.residual ? task.residual + out : nullptr;
      uint8_t* y = task.y + out * YBytes(conv);
      if (left >= 2 * kLanes) {
        RowOfGroups(job, at, 0, 2, left, count, ahead, residual, y);
        continue;
      }
      RowOfGroups(job, at, 0, 1, left, count, ahead, residual, y);
      if (left > kLanes) {
        RowOfGroups(job, at, 1, 1, left - kLanes, count, ahead,
                    residual ? residual + kLanes : nullptr, y + kLanes * YBytes(conv));
      }
    }
  }
}

SQUEEZE_INLINE size_t PaddedBytes(const Conv& conv, const Extent& extent) {
  if (ReadsImage(conv)) return 0;
  const size_t pitch = size_t{1} * PaddedColumns(conv, extent) * conv.in_channels;
  const size_t bytes = RowsFor(conv, 0, RowsPerPiece(conv, extent)).count * pitch + kOverRead;
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Padded rows, then the panel, or the windows of few pixels, which are smaller.
template <int kBits>
size_t ScratchBytes(const Conv& conv, const Extent& extent) {
  return PaddedBytes(conv, extent) + 2 * PlanOf<kBits>(conv).panel.group_bytes;
}

// Calls take(x, pitch, begin, end) with the (padded) input of output rows begin .. end - 1.
template <typename Take>
SQUEEZE_INLINE void ForEachPiece(const Conv& conv, const Extent& extent, const Task& task,
                                 uint8_t* padded, Take take) {
  if (ReadsImage(conv)) {
    const size_t pitch = size_t{1} * extent.in_w * conv.in_channels;
    take(task.x + size_t{1} * task.row_begin * conv.stride_h * pitch, pitch, task.row_begin,
         task.row_end);
    return;
  }
  const int32_t columns = PaddedColumns(conv, extent), step = RowsPerPiece(conv, extent);
  const size_t pitch = size_t{1} * columns * conv.in_channels;
  for (int32_t begin = task.row_begin; begin < task.row_end; begin += step) {
    const int32_t end = begin + step < task.row_end ? begin + step : task.row_end;
    const product::Rows rows = RowsFor(conv, begin, end);
    for (int32_t i = 0; i < rows.count; ++i) {
      LayPaddedRow(conv, extent, task.x, rows.first + i, columns, padded + i * pitch);
    }
    take(padded, pitch, begin, end);
  }
}

template <int kBits>
SQUEEZE_INLINE void RunFew(const Call& call, const Extent& extent, const Task& task,
                           uint8_t* padded, uint8_t* windows) {
  const Conv& conv = call.conv;
  uint8_t* to = windows;
  ForEachPiece(
      conv, extent, task, padded, [&](const uint8_t* x, size_t pitch, int32_t begin, int32_t end) {
        for (int32_t pixel = 0; pixel < (end - begin) * extent.out_w; ++pixel) {
          const uint8_t* at = x + pixel / extent.out_w * conv.stride_h * pitch +
                              size_t{1} * (pixel % extent.out_w) * conv.stride_w * conv.in_channels;
          CopyWindow(conv, call.plan, at, pitch, to);
          to += size_t{1} * call.plan.tables.blocks * kBlock;
        }
      });
  const int32_t pixels = (task.row_end - task.row_begin) * extent.out_w;
  const size_t out = size_t{1} * task.row_begin * extent.out_w * conv.out_channels;
  AnyFew<kBits>({conv, call.plan.tables, call.view, call.q}, windows, pixels,
                task.residual ? task.residual + out : nullptr, task.y + out * YBytes(conv));
}

template <int kBits>
SQUEEZE_INLINE void RunAny(const Call& call, const Extent& extent, const Task& task,
                           void* scratch) {
  auto* padded = static_cast<uint8_t*>(scratch);
  auto* panel = reinterpret_cast<int8_t*>(padded + PaddedBytes(call.conv, extent));
  if (int64_t{task.row_end - task.row_begin} * extent.out_w <= kFewPixels) {
    auto* windows = reinterpret_cast<uint8_t*>(panel);
    return RunFew<kBits>(call, extent, task, padded, windows);
  }
  ForEachPiece(call.conv, extent, task, padded,
               [&](const uint8_t* x, size_t pitch, int32_t begin, int32_t end) {
                 Rows<kBits>(call, extent, task, x, pitch, begin, end, panel);
               });
}

template <int kBits>
void Run(const Conv& conv, const void* packed, const Extent& extent, const Task& task,
         void* scratch) {
  const Plan plan = PlanOf<kBits>(conv);
  const Coded view = ViewOf(plan.tables, packed);
  const Requant q = MakeRequant(conv);
  const Call call = {conv, plan, view, q};
  RunAny<kBits>(call, extent, task, scratch);
}

// As the dense kernel: decoding all weights once more for a task takes as long as a few pixels.
constexpr int64_t kMacsPerTask = 1'000'000;
constexpr int32_t kLeastPixels = 64;

}  // namespace

extern const Kernel dense2__x86_avx512vnni = {
    2,
    {"qcodebook dense2__x86_avx512vnni", Isa::kX86Avx512Vnni, kMacsPerTask, Supports,
     PackedBytes<2>, PackWeights<2>, ScratchBytes<2>, Run<2>, kLeastPixels}};

extern const Kernel dense4__x86_avx512vnni = {
    4,
    {"qcodebook dense4__x86_avx512vnni", Isa::kX86Avx512Vnni, kMacsPerTask, Supports,
     PackedBytes<4>, PackWeights<4>, ScratchBytes<4>, Run<4>, kLeastPixels}};

}  // namespace squeeze::qcodebook
