// Dense convolution, any kernel size, stride, dilation and padding, with VNNI dot products.
#include "product/x86_avx512_blocks.h"

namespace squeeze::product {
namespace {

bool Supports(const Conv& conv) { return conv.groups == 1; }

size_t PackedBytes(const Conv& conv) {
  const Layout layout = LayoutOf(conv);
  return layout.groups * (kLanes * 8 + layout.group_bytes);
}

void PackWeights(const Conv& conv, const Weights& weights, void* packed) {
  const Layout layout = LayoutOf(conv);
  const Packed view = View(layout, packed);
  auto* bias = const_cast<int32_t*>(view.bias);
  auto* multiplier = const_cast<float*>(view.multiplier);
  auto* w = const_cast<int8_t*>(view.w);
  const int8_t* from = weights.w;
  for (int32_t o = 0; o < conv.out_channels; ++o) {
    bias[o] = FoldedBias(conv, weights, o);
    multiplier[o] = weights.multiplier[o];
    for (int32_t i = 0; i < conv.in_channels; ++i) {
      for (int32_t kh = 0; kh < conv.kernel_h; ++kh) {
        for (int32_t kw = 0; kw < conv.kernel_w; ++kw) {
          const int32_t run = layout.runs_per_row == 1 ? 0 : kw;
          const int32_t byte = (layout.runs_per_row == 1 ? kw * conv.in_channels : 0) + i;
          const size_t quad =
              (size_t{1} * kh * layout.runs_per_row + run) * (layout.run_bytes / 4) + byte / 4;
          w[o / kLanes * layout.group_bytes + quad * 64 + o % kLanes * 4 + byte % 4] = *from++;
        }
      }
    }
  }
}

size_t ScratchBytes(const Conv& conv, const Extent& extent) {
  if (ReadsImage(conv)) return 0;
  const size_t pitch = size_t{1} * PaddedColumns(conv, extent) * conv.in_channels;
  return RowsFor(conv, 0, RowsPerPiece(conv, extent)).count * pitch + kOverRead;
}

// One row of `count` pixels, all output channels.
void Row(const Job& job, const uint8_t* x, int32_t count, const uint8_t* residual, uint8_t* y) {
  for (int32_t group = 0; group < job.layout.groups;) {
    const int32_t first = group * kLanes, left = job.conv.out_channels - first;
    const int32_t groups = left >= 2 * kLanes ? 2 : 1;
    const int8_t* ahead = job.packed.w + (group + groups) * job.layout.group_bytes;
    RowOfGroups(job, x, group, groups, left, count, reinterpret_cast<const uint8_t*>(ahead),
                residual ? residual + first : nullptr, y + first * YBytes(job.conv));
    group += groups;
  }
}

void Run(const Conv& conv, const void* packed, const Extent& extent, const Task& task,
         void* scratch) {
  const Layout layout = LayoutOf(conv);
  const Packed view = View(layout, packed);
  const Requant q = MakeRequant(conv);
  const size_t channels = conv.in_channels;
  const size_t out_pitch = size_t{1} * extent.out_w * conv.out_channels;
  const bool reads_image = ReadsImage(conv);
  const int32_t columns = PaddedColumns(conv, extent);
  const size_t pitch = (reads_image ? extent.in_w : columns) * channels;
  const Job job = {conv, layout, view, q, pitch, conv.stride_w * channels};
  const auto row_of = [&](const uint8_t* x, int32_t row, int32_t count) {
    const size_t out = row * out_pitch;
    Row(job, x, count, task.residual ? task.residual + out : nullptr, task.y + out * YBytes(conv));
  };
  if (reads_image) {
    if (IsPointwise(conv)) {  // rows follow each other without a gap: one long row
      const int32_t rows = task.row_end - task.row_begin;
      row_of(task.x + task.row_begin * pitch, task.row_begin, rows * extent.out_w);
      return;
    }
    for (int32_t row = task.row_begin; row < task.row_end; ++row) {
      row_of(task.x + size_t{1} * row * conv.stride_h * pitch, row, extent.out_w);
    }
    return;
  }
  auto* padded = static_cast<uint8_t*>(scratch);
  const int32_t step = RowsPerPiece(conv, extent);
  for (int32_t begin = task.row_begin; begin < task.row_end; begin += step) {
    const int32_t end = begin + step < task.row_end ? begin + step : task.row_end;
    const Rows rows = RowsFor(conv, begin, end);
    for (int32_t i = 0; i < rows.count; ++i) {
      LayPaddedRow(conv, extent, task.x, rows.first + i, columns, padded + i * pitch);
    }
    for (int32_t row = begin; row < end; ++row) {
      row_of(padded + size_t{1} * (row - begin) * conv.stride_h * pitch, row, extent.out_w);
    }
  }
}

}  // namespace

extern const Kernel dense__x86_avx512vnni = {
    "product dense__x86_avx512vnni",
    Isa::kX86Avx512Vnni,
    1'000'000,
    Supports,
    PackedBytes,
    PackWeights,
    ScratchBytes,
    Run,
};

}  // namespace squeeze::product
