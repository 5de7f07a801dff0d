// Dense convolution with the int8 tile units (AMX): x86_amx_records.h lays the windows out,
// x86_amx_blocks.h multiplies.
#include "qconv/x86_amx_blocks.h"

namespace squeeze::qconv {
namespace {

constexpr int32_t kMaxKernelRows = 16;

// Lines filled to less than two thirds waste the tiles: those shapes are left to the VNNI kernel.
bool Supports(const Conv& conv) {
  const int32_t run = conv.in_channels * conv.kernel_w;
  return conv.groups == 1 && (conv.dilation_w == 1 || conv.kernel_w == 1) &&
         conv.kernel_h <= kMaxKernelRows && (Joins(conv) || 3 * run >= 2 * RoundUp(run, kLine));
}

size_t PackedBytes(const Conv& conv) {
  const Layout layout = LayoutOf(conv);
  return layout.groups * (kLanes * 8 + layout.group_bytes) + (layout.joined ? sizeof(Cut) : 0);
}

void PackWeights(const Conv& conv, const Weights& weights, void* packed) {
  const Layout layout = LayoutOf(conv);
  const Packed view = View(layout, packed);
  auto* bias = const_cast<int32_t*>(view.bias);
  auto* multiplier = const_cast<float*>(view.multiplier);
  auto* w = const_cast<int8_t*>(view.w);
  if (layout.joined) MakeCut(conv, reinterpret_cast<Cut*>(w + layout.groups * layout.group_bytes));
  const int8_t* from = weights.w;
  for (int32_t o = 0; o < conv.out_channels; ++o) {
    bias[o] = FoldedBias(conv, weights, o);
    multiplier[o] = weights.multiplier[o];
    for (int32_t i = 0; i < conv.in_channels; ++i) {
      for (int32_t kh = 0; kh < conv.kernel_h; ++kh) {
        for (int32_t kw = 0; kw < conv.kernel_w; ++kw) {
          int32_t byte = kw * conv.in_channels + i;
          if (layout.joined) byte += kh * conv.kernel_w * conv.in_channels;
          const size_t tile = (layout.joined ? 0 : size_t{1} * kh * layout.lines) + byte / kLine;
          w[o / kLanes * layout.group_bytes + tile * kTileBytes + byte % kLine / 4 * 64 +
            o % kLanes * 4 + byte % 4] = *from++;
        }
      }
    }
  }
}

size_t ScratchBytes(const Conv& conv, const Extent& extent) {
  const Layout layout = LayoutOf(conv);
  // A task may still be less than a tile.
  if (ReadsImage(conv, kTilePixels)) return 2 * kTilePixels * layout.record_bytes;
  const int32_t rows = RowsPerPiece(conv, extent, layout);
  if (layout.joined) return (size_t{1} * rows * extent.out_w + kTilePixels) * kLine;
  const Piece piece = PieceOf(conv, extent, layout, rows);
  // Behind them a tile of records that nobody stores, for pieces of fewer than 16 pixels.
  return conv.stride_h * piece.plane_rows * piece.row_bytes + kTilePixels * layout.record_bytes;
}

// The records that output rows begin .. end - 1 read, and the offset of the first one of each
// kernel row.
void Expand(const Conv& conv, const Extent& extent, const Layout& layout, const uint8_t* x,
            int32_t begin, int32_t end, uint8_t* records, size_t* kernel_row) {
  const Piece piece = PieceOf(conv, extent, layout, end - begin);
  const Rows rows = RowsFor(conv, begin, end);
  const int32_t kernel_rows = (conv.kernel_h - 1) * conv.dilation_h + 1;
  for (int32_t r = 0; r < rows.count; ++r) {
    if (r % conv.stride_h >= kernel_rows) continue;  // no window has this row
    const size_t at = r % conv.stride_h * piece.plane_rows + r / conv.stride_h;
    ExpandRow(conv, extent, layout, x, rows.first + r, records + at * piece.row_bytes);
  }
  for (int32_t kh = 0; kh < conv.kernel_h; ++kh) {
    const int32_t r = kh * conv.dilation_h;
    const size_t at = r % conv.stride_h * piece.plane_rows + r / conv.stride_h;
    kernel_row[kh] = at * piece.row_bytes;
  }
}

void ExpandJoined(const Conv& conv, const Extent& extent, const Layout& layout,
                  const Packed& packed, const uint8_t* x, int32_t begin, int32_t end,
                  uint8_t* records) {
  const auto& cut = *reinterpret_cast<const Cut*>(packed.w + layout.groups * layout.group_bytes);
  for (int32_t row = begin; row < end; ++row, records += size_t{1} * extent.out_w * kLine) {
    ExpandJoinedRow(conv, extent, cut, x, row, records);
  }
}

void Run(const Conv& conv, const void* packed, const Extent& extent, const Task& task,
         void* scratch) {
  const TileConfig tiles;
  const Layout layout = LayoutOf(conv);
  const Packed view = View(layout, packed);
  const Requant q = MakeRequant(conv);
  const size_t out_pitch = size_t{1} * extent.out_w * conv.out_channels;
  const int32_t task_rows = task.row_end - task.row_begin;
  const bool reads_image = ReadsImage(conv, int64_t{task_rows} * extent.out_w);
  auto* records = static_cast<uint8_t*>(scratch);
  const int32_t step = reads_image ? task_rows : RowsPerPiece(conv, extent, layout);
  for (int32_t begin = task.row_begin; begin < task.row_end; begin += step) {
    const int32_t end = begin + step < task.row_end ? begin + step : task.row_end;
    const size_t out = begin * out_pitch;
    size_t kernel_row[kMaxKernelRows] = {};
    const uint8_t* a = task.x + size_t{1} * begin * extent.in_w * conv.in_channels;
    if (!reads_image) {
      layout.joined ? ExpandJoined(conv, extent, layout, view, task.x, begin, end, records)
                    : Expand(conv, extent, layout, task.x, begin, end, records, kernel_row);
      a = records;
    }
    const Job job = {
        conv,
        layout,
        view,
        q,
        a,
        layout.record_bytes,
        kernel_row,
        (end - begin) * extent.out_w,
        task.residual ? task.residual + out : nullptr,
        task.y + out,
    };
    task.residual ? RunPiece<true>(job) : RunPiece<false>(job);
  }
}

}  // namespace

extern const Kernel dense__x86_amx = {
    "qconv dense__x86_amx", Isa::kX86Amx, 4'000'000, Supports, PackedBytes, PackWeights,
    ScratchBytes,           Run,
};

}  // namespace squeeze::qconv
