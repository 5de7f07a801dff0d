// Dense convolution with the int8 tile units (AMX).
//
// A tile row is one output pixel and 64 bytes of its window. A tile load is cheap only when its
// rows are whole cache lines, so every row of the padded image is expanded once into records: per
// output pixel the kernel_w * channels bytes of its window, filled up to lines (what fills them
// meets zero weights). Padded rows r with equal r % stride_h lie together; then the records of
// consecutive output pixels follow each other through all rows of a piece, for any stride, and
// tiles run over row ends. A 1x1 convolution with whole lines reads the image itself.
//
// Two tiles of 16 pixels times N groups of 16 channels are accumulated at once. While the tile
// units work on a block, the vector units requantise the one before, from a buffer of int32 that is
// two blocks deep.
#include "qconv/x86_avx512.h"

namespace squeeze::qconv {
namespace {

constexpr int32_t kTilePixels = 16;
constexpr int32_t kLanes = 16;
constexpr int32_t kLine = 64;
constexpr int32_t kTileBytes = 1024;
constexpr int32_t kMaxKernelRows = 16;
constexpr size_t kScratchTarget = 16 * 1024;

// Own macros: GCC 12's intrinsics do not tell the compiler that they touch memory.
#define TILE_LOAD(tile, from, stride)                                                   \
  asm volatile("tileloadd (%0,%1,1), %%tmm" #tile::"r"(static_cast<const void*>(from)), \
               "r"(static_cast<int64_t>(stride))                                        \
               : "memory")
#define TILE_STORE(tile, to)                                                         \
  asm volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(static_cast<void*>(to)), \
               "r"(int64_t{64})                                                      \
               : "memory")
#define TILE_DOT(acc, a, b) asm volatile("tdpbusd %%tmm" #b ", %%tmm" #a ", %%tmm" #acc::: "memory")

// All eight tiles as 16 rows of 64 bytes, for the life of this object.
class TileConfig {
 public:
  TileConfig() {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } config;
    asm volatile("ldtilecfg %0" ::"m"(config) : "memory");
  }
  TileConfig(const TileConfig&) = delete;
  TileConfig& operator=(const TileConfig&) = delete;
  ~TileConfig() { asm volatile("tilerelease" ::: "memory"); }
};

struct Layout {
  int32_t groups;       // of 16 output channels
  int32_t lines;        // of a record: one kernel row of one window
  size_t record_bytes;  // lines * 64
  size_t group_bytes;   // weights of one group: [kh][line][16][16][4]
};

SQUEEZE_INLINE Layout LayoutOf(const Conv& conv) {
  Layout layout;
  layout.groups = (conv.out_channels + kLanes - 1) / kLanes;
  layout.lines = RoundUp(conv.in_channels * conv.kernel_w, kLine) / kLine;
  layout.record_bytes = size_t{1} * layout.lines * kLine;
  layout.group_bytes = size_t{1} * conv.kernel_h * layout.lines * kTileBytes;
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

// Where lines are filled to less than two thirds the VNNI kernel is as fast: measured at C = 8 and
// 1x1 with C < 64.
bool Supports(const Conv& conv) {
  const int32_t run = conv.in_channels * conv.kernel_w;
  return conv.groups == 1 && (conv.dilation_w == 1 || conv.kernel_w == 1) &&
         conv.kernel_h <= kMaxKernelRows && 3 * run >= 2 * RoundUp(run, kLine);
}

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
          const int32_t byte = kw * conv.in_channels + i;
          const size_t tile = size_t{1} * kh * layout.lines + byte / kLine;
          w[o / kLanes * layout.group_bytes + tile * kTileBytes + byte % kLine / 4 * 64 +
            o % kLanes * 4 + byte % 4] = *from++;
        }
      }
    }
  }
}

// Whether `pixels` output pixels that follow each other are read from the image: only where a tile
// of them is there.
SQUEEZE_INLINE bool ReadsImage(const Conv& conv, int64_t pixels) {
  return conv.kernel_h * conv.kernel_w * conv.stride_h * conv.stride_w == 1 &&
         conv.pad_top + conv.pad_left + conv.pad_bottom + conv.pad_right == 0 &&
         conv.in_channels % kLine == 0 && pixels >= kTilePixels;
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

SQUEEZE_INLINE int32_t RowsPerPiece(const Conv& conv, const Extent& extent, const Layout& layout) {
  const size_t fit = kScratchTarget / (extent.out_w * layout.record_bytes);
  const size_t kernel_rows = (conv.kernel_h - 1) * conv.dilation_h + 1;
  size_t rows = fit > kernel_rows ? (fit - kernel_rows) / conv.stride_h + 1 : 1;
  const size_t at_least = (kTilePixels + extent.out_w - 1) / extent.out_w;  // a whole tile
  if (rows < at_least) rows = at_least;
  return rows < static_cast<size_t>(extent.out_h) ? static_cast<int32_t>(rows) : extent.out_h;
}

size_t ScratchBytes(const Conv& conv, const Extent& extent) {
  const Layout layout = LayoutOf(conv);
  // A task may still be less than a tile.
  if (ReadsImage(conv, kTilePixels)) return 2 * kTilePixels * layout.record_bytes;
  const Piece piece = PieceOf(conv, extent, layout, RowsPerPiece(conv, extent, layout));
  // Behind them a tile of records that nobody stores, for pieces of fewer than 16 pixels.
  return conv.stride_h * piece.plane_rows * piece.row_bytes + kTilePixels * layout.record_bytes;
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

// Where the accumulators of a block go. Both tiles hold 16 pixels, the second one may repeat pixels
// of the first.
template <int N>
struct Finished {
  const int32_t* acc;  // [tile of pixels][group][16][16]
  size_t out[2];       // of the first pixel of each tile, into y and residual
  __m512 multiplier[N];
  __mmask16 mask;  // valid channels of the last group
};

// 64 results: group `i` of 2 * N * 4.
template <int N, bool kResidual>
SQUEEZE_INLINE void Requantise(const Finished<N>& f, int32_t i, size_t channels, const Requant& q,
                               const uint8_t* residual, uint8_t* y) {
  constexpr int kPixels = 4 / N, kPerTile = kTilePixels / kPixels;
  const int32_t tile = i / kPerTile, pixel = i % kPerTile * kPixels;
  const int32_t* acc = f.acc + (tile * N * kTilePixels + pixel) * kLanes;
  const size_t out = f.out[tile] + pixel * channels;
  const __mmask16 masks[2] = {N == 1 ? f.mask : static_cast<__mmask16>(0xffff), f.mask};
  __m512i v[4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const int p = j / N, n = j % N;
    const __m512i sum = _mm512_load_si512(acc + n * kTilePixels * kLanes + p * kLanes);
    if constexpr (kResidual) {
      const uint8_t* from = residual + out + p * channels + n * kLanes;
      v[j] = ScaleAndAdd(sum, f.multiplier[n], _mm_maskz_loadu_epi8(masks[n], from), q);
    } else {
      v[j] = Scale(sum, f.multiplier[n]);
    }
  }
  const __m512i bytes = Pack(v[0], v[1], v[2], v[3], q);
  uint8_t* to = y + out;
  if constexpr (N == 1) {
    if (channels == kLanes) {
      _mm512_storeu_si512(to, bytes);
    } else {
      _mm_mask_storeu_epi8(to, f.mask, _mm512_castsi512_si128(bytes));
      _mm_mask_storeu_epi8(to + channels, f.mask, _mm512_extracti32x4_epi32(bytes, 1));
      _mm_mask_storeu_epi8(to + 2 * channels, f.mask, _mm512_extracti32x4_epi32(bytes, 2));
      _mm_mask_storeu_epi8(to + 3 * channels, f.mask, _mm512_extracti32x4_epi32(bytes, 3));
    }
  } else {
    const __mmask32 mask = 0xffffu | static_cast<__mmask32>(f.mask) << 16;
    _mm256_mask_storeu_epi8(to, mask, _mm512_castsi512_si256(bytes));
    _mm256_mask_storeu_epi8(to + channels, mask, _mm512_extracti64x4_epi64(bytes, 1));
  }
}

// What stays the same for all blocks of a piece.
struct Job {
  const Conv& conv;
  const Layout& layout;
  const Packed& packed;
  const Requant& q;
  const uint8_t* a;          // line 0 of kernel row 0 of the first pixel
  size_t pixel_bytes;        // from a pixel to the next
  const size_t* kernel_row;  // offset of each kernel row
  int32_t pixels;
  const uint8_t* residual;
  uint8_t* y;
};

// Two tiles of pixels x N groups, and the requantisation of `before` between the steps.
template <int N, bool kResidual, bool kBefore>
SQUEEZE_INLINE void Block(const Job& job, const int32_t (&pixel)[2], int32_t group,
                          const Finished<N>& before, int32_t* acc) {
  constexpr int32_t kGroups = 2 * N * 4;
  const int32_t steps = job.conv.kernel_h * job.layout.lines;
  const int32_t per_step = (kGroups + steps - 1) / steps;
  const size_t channels = job.conv.out_channels;
  // A bias tile is one line read 16 times: cheaper than clearing the tile and adding later.
  const int32_t* bias = job.packed.bias + group * kLanes;
  TILE_LOAD(0, bias, 0);
  TILE_LOAD(1, bias, 0);
  if constexpr (N == 2) {
    TILE_LOAD(2, bias + kLanes, 0);
    TILE_LOAD(3, bias + kLanes, 0);
  }
  const int8_t* w = job.packed.w + group * job.layout.group_bytes;
  const uint8_t* a0 = job.a + pixel[0] * job.pixel_bytes;
  const uint8_t* a1 = job.a + pixel[1] * job.pixel_bytes;
  int32_t done = 0;
  for (int32_t kh = 0; kh < job.conv.kernel_h; ++kh) {
    size_t at = job.kernel_row[kh];
    for (int32_t line = 0; line < job.layout.lines; ++line, at += kLine, w += kTileBytes) {
      TILE_LOAD(6, w, 64);
      TILE_LOAD(4, a0 + at, job.pixel_bytes);
      TILE_DOT(0, 4, 6);
      if constexpr (N == 2) {
        TILE_LOAD(7, w + job.layout.group_bytes, 64);
        TILE_DOT(2, 4, 7);
      }
      TILE_LOAD(5, a1 + at, job.pixel_bytes);
      TILE_DOT(1, 5, 6);
      if constexpr (N == 2) TILE_DOT(3, 5, 7);
      if constexpr (kBefore) {
        for (int32_t i = 0; i < per_step && done < kGroups; ++i, ++done) {
          Requantise<N, kResidual>(before, done, channels, job.q, job.residual, job.y);
        }
      }
    }
  }
  constexpr int32_t kTile = kTilePixels * kLanes;
  TILE_STORE(0, acc);
  TILE_STORE(1, acc + N * kTile);
  if constexpr (N == 2) {
    TILE_STORE(2, acc + kTile);
    TILE_STORE(3, acc + 3 * kTile);
  }
}

// Block for one group and three steps, whose weights stay in tiles 5, 6, 7 for the whole piece.
template <bool kResidual, bool kBefore>
SQUEEZE_INLINE void ResidentBlock(const Job& job, const int32_t (&pixel)[2],
                                  const Finished<1>& before, int32_t* acc) {
  const size_t channels = job.conv.out_channels;
  const auto requantise = [&](int32_t first, int32_t last) __attribute__((always_inline)) {
    if constexpr (kBefore) {
#pragma GCC unroll 3
      for (int32_t i = first; i < last; ++i) {
        Requantise<1, kResidual>(before, i, channels, job.q, job.residual, job.y);
      }
    }
  };
  const uint8_t* a0 = job.a + pixel[0] * job.pixel_bytes;
  const uint8_t* a1 = job.a + pixel[1] * job.pixel_bytes;
  TILE_LOAD(0, job.packed.bias, 0);
  TILE_LOAD(1, job.packed.bias, 0);
  TILE_LOAD(4, a0 + job.kernel_row[0], job.pixel_bytes);
  TILE_DOT(0, 4, 5);
  TILE_LOAD(3, a1 + job.kernel_row[0], job.pixel_bytes);
  TILE_DOT(1, 3, 5);
  requantise(0, 3);
  TILE_LOAD(4, a0 + job.kernel_row[1], job.pixel_bytes);
  TILE_DOT(0, 4, 6);
  TILE_LOAD(3, a1 + job.kernel_row[1], job.pixel_bytes);
  TILE_DOT(1, 3, 6);
  requantise(3, 6);
  TILE_LOAD(4, a0 + job.kernel_row[2], job.pixel_bytes);
  TILE_DOT(0, 4, 7);
  TILE_LOAD(3, a1 + job.kernel_row[2], job.pixel_bytes);
  TILE_DOT(1, 3, 7);
  requantise(6, 8);
  TILE_STORE(0, acc);
  TILE_STORE(1, acc + kTilePixels * kLanes);
}

// All pixels of a piece, channels from group `first` to `last` by N groups. At least 16 pixels.
template <int N, bool kResidual, bool kResident = false>
void Blocks(const Job& job, int32_t first, int32_t last) {
  alignas(64) int32_t acc[2][2 * N * kTilePixels * kLanes];
  const size_t channels = job.conv.out_channels;
  Finished<N> before = {};
  int32_t current = 0;
  if constexpr (kResident) {
    TILE_LOAD(5, job.packed.w, 64);
    TILE_LOAD(6, job.packed.w + kTileBytes, 64);
    TILE_LOAD(7, job.packed.w + 2 * kTileBytes, 64);
  }
  for (int32_t p = 0; p < job.pixels; p += 2 * kTilePixels) {
    int32_t pixel[2] = {p, p + kTilePixels};
    for (int32_t& at : pixel) {
      if (at + kTilePixels > job.pixels) at = job.pixels - kTilePixels;
    }
    for (int32_t group = first; group < last; group += N) {
      if constexpr (kResident) {
        before.acc ? ResidentBlock<kResidual, true>(job, pixel, before, acc[current])
                   : ResidentBlock<kResidual, false>(job, pixel, before, acc[current]);
      } else if (before.acc) {
        Block<N, kResidual, true>(job, pixel, group, before, acc[current]);
      } else {
        Block<N, kResidual, false>(job, pixel, group, before, acc[current]);
      }
      before.acc = acc[current];
      const int32_t left = static_cast<int32_t>(channels) - (group + N - 1) * kLanes;
      before.mask = static_cast<__mmask16>(left >= kLanes ? 0xffff : (1 << left) - 1);
      for (int i = 0; i < 2; ++i) before.out[i] = pixel[i] * channels + group * kLanes;
      for (int n = 0; n < N; ++n) {
        before.multiplier[n] = _mm512_loadu_ps(job.packed.multiplier + (group + n) * kLanes);
      }
      current ^= 1;
    }
  }
  for (int32_t i = 0; i < 2 * N * 4; ++i) {
    Requantise<N, kResidual>(before, i, channels, job.q, job.residual, job.y);
  }
}

// Fewer than 16 pixels: one tile, requantised pixel by pixel.
template <bool kResidual>
void FewPixels(const Job& job) {
  alignas(64) int32_t acc[2 * kTilePixels * kLanes];
  const size_t channels = job.conv.out_channels;
  const Finished<1> nothing = {};
  for (int32_t group = 0; group < job.layout.groups; ++group) {
    Block<1, kResidual, false>(job, {0, 0}, group, nothing, acc);
    const int32_t left = static_cast<int32_t>(channels) - group * kLanes;
    const auto mask = static_cast<__mmask16>(left >= kLanes ? 0xffff : (1 << left) - 1);
    const __m512 multiplier = _mm512_loadu_ps(job.packed.multiplier + group * kLanes);
    for (int32_t pixel = 0; pixel < job.pixels; ++pixel) {
      const size_t out = pixel * channels + group * kLanes;
      const __m512i sum = _mm512_load_si512(acc + pixel * kLanes);
      __m512i v;
      if constexpr (kResidual) {
        v = ScaleAndAdd(sum, multiplier, _mm_maskz_loadu_epi8(mask, job.residual + out), job.q);
      } else {
        v = Scale(sum, multiplier);
      }
      _mm_mask_storeu_epi8(job.y + out, mask, _mm512_castsi512_si128(Pack(v, v, v, v, job.q)));
    }
  }
}

template <bool kResidual>
void RunPiece(const Job& job) {
  if (job.pixels < kTilePixels) return FewPixels<kResidual>(job);
  if (job.layout.groups == 1 && job.layout.lines == 1 && job.conv.kernel_h == 3) {
    return Blocks<1, kResidual, true>(job, 0, 1);
  }
  const int32_t pairs = job.layout.groups / 2 * 2;
  if (pairs) Blocks<2, kResidual>(job, 0, pairs);
  if (pairs != job.layout.groups) Blocks<1, kResidual>(job, pairs, job.layout.groups);
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
      const Piece piece = PieceOf(conv, extent, layout, end - begin);
      const Rows rows = RowsFor(conv, begin, end);
      const int32_t kernel_rows = (conv.kernel_h - 1) * conv.dilation_h + 1;
      for (int32_t r = 0; r < rows.count; ++r) {
        if (r % conv.stride_h >= kernel_rows) continue;  // no window has this row
        const size_t at = r % conv.stride_h * piece.plane_rows + r / conv.stride_h;
        ExpandRow(conv, extent, layout, task.x, rows.first + r, records + at * piece.row_bytes);
      }
      for (int32_t kh = 0; kh < conv.kernel_h; ++kh) {
        const int32_t r = kh * conv.dilation_h;
        const size_t at = r % conv.stride_h * piece.plane_rows + r / conv.stride_h;
        kernel_row[kh] = at * piece.row_bytes;
      }
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
