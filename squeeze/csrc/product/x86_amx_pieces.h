// A task as the tile units take it: pieces of rows whose records fit the cache. Internal linkage
// only, see rows.h.
#pragma once

#include "product/x86_amx_joined.h"

namespace squeeze::product {
namespace {

constexpr int32_t kMaxKernelRows = 16;

// Lines filled to less than two thirds waste the tiles: those shapes are left to the VNNI kernel.
SQUEEZE_INLINE bool FillsTiles(const Conv& conv) {
  const int32_t run = conv.in_channels * conv.kernel_w;
  return conv.groups == 1 && (conv.dilation_w == 1 || conv.kernel_w == 1) &&
         conv.kernel_h <= kMaxKernelRows && (Joins(conv) || 3 * run >= 2 * RoundUp(run, kLine));
}

// The place of a weight in the records of a window, counted in bytes.
SQUEEZE_INLINE int32_t ByteOf(const Conv& conv, const Layout& layout, int32_t i, int32_t kh,
                              int32_t kw) {
  const int32_t byte = kw * conv.in_channels + i;
  return layout.joined ? kh * conv.kernel_w * conv.in_channels + byte
                       : kh * layout.lines * kLine + byte;
}

SQUEEZE_INLINE size_t RecordBytes(const Conv& conv, const Extent& extent) {
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
SQUEEZE_INLINE void Expand(const Conv& conv, const Extent& extent, const Layout& layout,
                           const uint8_t* x, int32_t begin, int32_t end, uint8_t* records,
                           size_t* kernel_row) {
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

SQUEEZE_INLINE void ExpandJoined(const Conv& conv, const Extent& extent, const Cut& cut,
                                 const uint8_t* x, int32_t begin, int32_t end, uint8_t* records) {
  for (int32_t row = begin; row < end; ++row, records += size_t{1} * extent.out_w * kLine) {
    ExpandJoinedRow(conv, extent, cut, x, row, records);
  }
}

// Calls take(a, kernel_row, begin, end) for each piece of output rows: `a` and `kernel_row` as in
// Job. `cut` is read where records are joined.
template <typename Take>
SQUEEZE_INLINE void ForEachPiece(const Conv& conv, const Extent& extent, const Layout& layout,
                                 const Cut* cut, const Task& task, uint8_t* records, Take take) {
  const int32_t task_rows = task.row_end - task.row_begin;
  const bool reads_image = ReadsImage(conv, int64_t{task_rows} * extent.out_w);
  const int32_t step = reads_image ? task_rows : RowsPerPiece(conv, extent, layout);
  for (int32_t begin = task.row_begin; begin < task.row_end; begin += step) {
    const int32_t end = begin + step < task.row_end ? begin + step : task.row_end;
    size_t kernel_row[kMaxKernelRows] = {};
    const uint8_t* a = task.x + size_t{1} * begin * extent.in_w * conv.in_channels;
    if (!reads_image) {
      layout.joined ? ExpandJoined(conv, extent, *cut, task.x, begin, end, records)
                    : Expand(conv, extent, layout, task.x, begin, end, records, kernel_row);
      a = records;
    }
    take(a, kernel_row, begin, end);
  }
}

}  // namespace

}  // namespace squeeze::product
