// Weights and windows as the tile units want them. Internal linkage only, see x86_avx512.h.
//
// A tile row is one output pixel and 64 bytes of its window. A tile load is cheap only when its
// rows are whole cache lines, so every row of the padded image is expanded once into records: per
// output pixel the kernel_w * channels bytes of its window, filled up to lines (what fills them
// meets zero weights). Padded rows r with equal r % stride_h lie together; then the records of
// consecutive output pixels follow each other through all rows of a piece, for any stride, and
// tiles run over row ends. A 1x1 convolution with whole lines reads the image itself.
#pragma once

#include "base/x86_amx_tiles.h"
#include "product/x86_avx512.h"

namespace squeeze::product {
namespace {

constexpr int32_t kLanes = 16;
constexpr int32_t kLine = 64;
// Records of a piece stay in the first-level cache, or, where that would be so few rows that most
// of them were expanded twice, in the second.
constexpr size_t kScratchTarget = 16 * 1024;
constexpr size_t kLargeScratchTarget = 128 * 1024;
constexpr size_t kFewRows = 6;

struct Layout {
  bool joined;          // a record holds all rows of a window, see x86_amx_joined.h
  int32_t groups;       // of 16 output channels
  int32_t kernel_rows;  // of records that a window takes: kernel_h, or 1 where they are joined
  int32_t lines;        // of a record: one kernel row of one window
  size_t record_bytes;  // lines * 64
  size_t group_bytes;   // weights of one group: [kernel row][line][16][16][4]
};

// A window of few bytes is for the vector units: too little for a tile.
constexpr int64_t kLeastJoined = 24;

// Few input channels: a whole window fits into one line, and would fill little of one for each row.
SQUEEZE_INLINE bool Joins(const Conv& conv) {
  const int64_t run = int64_t{conv.in_channels} * conv.kernel_w;
  return conv.kernel_h > 1 && conv.dilation_h == 1 && conv.dilation_w == 1 &&
         run * conv.kernel_h <= kLine && run * conv.kernel_h >= kLeastJoined;
}

SQUEEZE_INLINE Layout LayoutOf(const Conv& conv) {
  Layout layout;
  layout.joined = Joins(conv);
  layout.kernel_rows = layout.joined ? 1 : conv.kernel_h;
  layout.groups = (conv.out_channels + kLanes - 1) / kLanes;
  layout.lines = layout.joined ? 1 : RoundUp(conv.in_channels * conv.kernel_w, kLine) / kLine;
  layout.record_bytes = size_t{1} * layout.lines * kLine;
  layout.group_bytes = size_t{1} * layout.kernel_rows * layout.lines * kTileBytes;
  return layout;
}

struct Packed {
  const int32_t* bias;      // [groups * 16]
  const float* multiplier;  // [groups * 16]
  const int8_t* w;          // [groups][group_bytes]
};

SQUEEZE_INLINE Packed View(const Layout& layout, const void* packed) {
  const auto* bias = static_cast<const int32_t*>(packed);
  const auto* multiplier = reinterpret_cast<const float*>(bias + layout.groups * kLanes);
  return {bias, multiplier, reinterpret_cast<const int8_t*>(multiplier + layout.groups * kLanes)};
}

// Whether `pixels` output pixels that follow each other are read from the image: only where a tile
// of them is there.
SQUEEZE_INLINE bool ReadsImage(const Conv& conv, int64_t pixels) {
  return IsPointwise(conv) && conv.in_channels % kLine == 0 && pixels >= kTilePixels;
}

// Records of one piece of output rows: `planes` = stride_h blocks of `plane_rows` rows of out_w
// records.
struct Piece {
  int32_t rows;        // output rows
  int32_t plane_rows;  // padded rows with the same r % stride_h
  size_t row_bytes;    // out_w records
};

SQUEEZE_INLINE Piece PieceOf(const Conv& conv, const Extent& extent, const Layout& layout,
                             int32_t rows) {
  const int32_t padded = RowsFor(conv, 0, rows).count;
  return {rows, (padded + conv.stride_h - 1) / conv.stride_h, extent.out_w * layout.record_bytes};
}

SQUEEZE_INLINE size_t RowsThatFit(const Conv& conv, size_t row_bytes, size_t target) {
  const size_t fit = target / row_bytes;
  const size_t kernel_rows = (conv.kernel_h - 1) * conv.dilation_h + 1;
  return fit > kernel_rows ? (fit - kernel_rows) / conv.stride_h + 1 : 1;
}

SQUEEZE_INLINE int32_t RowsPerPiece(const Conv& conv, const Extent& extent, const Layout& layout) {
  const size_t row_bytes = extent.out_w * layout.record_bytes;
  size_t rows =
      layout.joined ? kScratchTarget / row_bytes : RowsThatFit(conv, row_bytes, kScratchTarget);
  if (!layout.joined && rows < kFewRows) rows = RowsThatFit(conv, row_bytes, kLargeScratchTarget);
  if (rows < 1) rows = 1;
  const size_t at_least = (kTilePixels + extent.out_w - 1) / extent.out_w;  // a whole tile
  if (rows < at_least) rows = at_least;
  return rows < static_cast<size_t>(extent.out_h) ? static_cast<int32_t>(rows) : extent.out_h;
}

// Bytes [from, from + 64) of a row of `row_bytes`; outside of it the zero point.
SQUEEZE_INLINE __m512i LoadAtEdge(const uint8_t* row, int64_t from, int64_t row_bytes,
                                  __m512i outside) {
  const int64_t first = from < 0 ? -from : 0, last = row_bytes - from;
  if (first >= kLine || last <= 0) return outside;
  __mmask64 mask = ~__mmask64{0} << first;
  if (last < kLine) mask &= (__mmask64{1} << last) - 1;
  return _mm512_mask_loadu_epi8(outside, mask, row + from);
}

// Records whose windows lie inside the row: L lines each, or `lines` of them for L = 0.
template <int L>
SQUEEZE_INLINE void CopyRecords(const uint8_t* from, int64_t step, int32_t lines, int32_t count,
                                uint8_t* to) {
  const int32_t n = L ? L : lines;
  for (int32_t i = 0; i < count; ++i, from += step, to += n * kLine) {
#pragma GCC unroll 3
    for (int32_t j = 0; j < n; ++j) {
      _mm512_store_si512(to + j * kLine, _mm512_loadu_si512(from + j * kLine));
    }
  }
}

// Whether a row is made of whole groups of 64 bytes, with one column of padding before it: windows
// of three pixels are then cut out of registers, two or three times faster than read again.
SQUEEZE_INLINE bool InGroups(const Conv& conv, const Extent& extent) {
  return (conv.in_channels == 16 || conv.in_channels == 32) && conv.kernel_w == 3 &&
         conv.dilation_w == 1 && conv.pad_left == 1 && conv.stride_w <= 2 &&
         extent.in_w * conv.in_channels % kLine == 0 && extent.out_w * conv.stride_w == extent.in_w;
}

// Records [x - 1, x, x + 1, x + 2] of 16 channels; x + 2 meets zero weights.
SQUEEZE_INLINE void ExpandGroups16(const uint8_t* row, int32_t groups, int32_t stride,
                                   __m512i outside, uint8_t* to) {
  __m512i before = outside, here = _mm512_loadu_si512(row);
  for (int32_t g = 0; g < groups; ++g) {
    const __m512i after = g + 1 < groups ? _mm512_loadu_si512(row + (g + 1) * kLine) : outside;
    _mm512_store_si512(to, _mm512_alignr_epi32(here, before, 12));
    if (stride == 1) {
      _mm512_store_si512(to + kLine, here);
      _mm512_store_si512(to + 2 * kLine, _mm512_alignr_epi32(after, here, 4));
      _mm512_store_si512(to + 3 * kLine, _mm512_alignr_epi32(after, here, 8));
      to += 4 * kLine;
    } else {
      _mm512_store_si512(to + kLine, _mm512_alignr_epi32(after, here, 4));
      to += 2 * kLine;
    }
    before = here;
    here = after;
  }
}

// Records [x - 1, x], [x + 1, x + 2] of 32 channels.
SQUEEZE_INLINE void ExpandGroups32(const uint8_t* row, int32_t groups, int32_t stride,
                                   __m512i outside, uint8_t* to) {
  __m512i here = _mm512_loadu_si512(row);
  __m512i left = _mm512_alignr_epi32(here, outside, 8);
  for (int32_t g = 0; g < groups; ++g) {
    const __m512i after = g + 1 < groups ? _mm512_loadu_si512(row + (g + 1) * kLine) : outside;
    const __m512i right = _mm512_alignr_epi32(after, here, 8);
    _mm512_store_si512(to, left);
    _mm512_store_si512(to + kLine, right);
    to += 2 * kLine;
    if (stride == 1) {
      _mm512_store_si512(to, here);
      _mm512_store_si512(to + kLine, after);
      to += 2 * kLine;
    }
    left = right;
    here = after;
  }
}

// The records of one padded row.
SQUEEZE_INLINE void ExpandRow(const Conv& conv, const Extent& extent, const Layout& layout,
                              const uint8_t* x, int32_t row, uint8_t* to) {
  const __m512i outside = _mm512_set1_epi8(static_cast<char>(conv.x_zero_point));
  const int32_t from_row = row - conv.pad_top;
  const int32_t columns = extent.out_w;
  if (from_row < 0 || from_row >= extent.in_h) {
    const size_t bytes = columns * layout.record_bytes;
    for (size_t i = 0; i < bytes; i += kLine) _mm512_store_si512(to + i, outside);
    return;
  }
  const int64_t row_bytes = int64_t{extent.in_w} * conv.in_channels;
  if (InGroups(conv, extent)) {
    const int32_t groups = static_cast<int32_t>(row_bytes / kLine);
    const uint8_t* row_begin = x + from_row * row_bytes;
    return conv.in_channels == 16 ? ExpandGroups16(row_begin, groups, conv.stride_w, outside, to)
                                  : ExpandGroups32(row_begin, groups, conv.stride_w, outside, to);
  }
  const int64_t image_left = (extent.in_h - from_row) * row_bytes;
  const int64_t run = int64_t{conv.kernel_w} * conv.in_channels;
  const auto record = static_cast<int64_t>(layout.record_bytes);
  const int64_t step = int64_t{conv.stride_w} * conv.in_channels;
  const int64_t padding = int64_t{conv.pad_left} * conv.in_channels;
  const uint8_t* line = x + from_row * row_bytes;
  // Columns first .. last - 1 have their window in the row, and whole lines to read in the image.
  const int64_t room =
      image_left - record < row_bytes - run ? image_left - record : row_bytes - run;
  const int64_t fit = room + padding < 0 ? 0 : (room + padding) / step + 1;
  const int32_t last = fit < columns ? static_cast<int32_t>(fit) : columns;
  const int32_t at_left = (conv.pad_left + conv.stride_w - 1) / conv.stride_w;
  const int32_t first = at_left < last ? at_left : last;
  const auto at_edge = [&](int32_t begin, int32_t end) {
    for (int32_t column = begin; column < end; ++column) {
      for (int64_t i = 0; i < record; i += kLine) {
        _mm512_store_si512(to + column * record + i,
                           LoadAtEdge(line, column * step - padding + i, row_bytes, outside));
      }
    }
  };
  at_edge(0, first);
  const uint8_t* from = line + (first * step - padding);
  uint8_t* inside = to + first * record;
  switch (layout.lines) {
    case 1:
      CopyRecords<1>(from, step, 1, last - first, inside);
      break;
    case 2:
      CopyRecords<2>(from, step, 2, last - first, inside);
      break;
    case 3:
      CopyRecords<3>(from, step, 3, last - first, inside);
      break;
    default:
      CopyRecords<0>(from, step, layout.lines, last - first, inside);
  }
  at_edge(last, columns);
}

}  // namespace

}  // namespace squeeze::product
