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
#include "qcodebook/levels.h"
#include "qcodebook/qcodebook.h"
#include "qconv/x86_avx512_blocks.h"

namespace squeeze::qcodebook {
namespace {

using namespace qconv;

constexpr int32_t kFewPixels = 4;
constexpr int32_t kBlock = 16;   // weights of a channel that are decoded at once
constexpr int32_t kQuarter = 4;  // vectors of them for kLanes channels

// The window of one output is cut into slots of one byte each, in the order of qconv::Layout; slots
// that fill a run up to 4 bytes have no weight.
struct Tables {
  qconv::Layout panel;  // the layout of decoded weights, in whole blocks
  int32_t blocks;
  size_t block_bytes;  // indices of kLanes channels
  size_t tables_at, used_at, indices_at, bytes;
};

template <int kBits>
SQUEEZE_INLINE Tables TablesOf(const Conv& conv) {
  Tables to = {};
  to.panel = LayoutOf(conv);
  to.blocks = static_cast<int32_t>((to.panel.group_bytes / kLanes + kBlock - 1) / kBlock);
  to.panel.group_bytes = size_t{1} * to.blocks * kBlock * kLanes;
  to.block_bytes = kBlock * kLanes * kBits / 8;
  const size_t groups = to.panel.groups;
  to.tables_at = groups * kLanes * 8;  // behind bias and multiplier
  to.used_at = to.tables_at + groups * kLanes * kMostLevels;
  to.indices_at = to.used_at + (to.blocks * sizeof(uint16_t) + 63) / 64 * 64;
  to.bytes = to.indices_at + groups * to.blocks * to.block_bytes;
  return to;
}

struct Coded {
  const int32_t* bias;      // [groups * 16]
  const float* multiplier;  // [groups * 16]
  const int8_t* tables;     // [groups][4][4 lanes][16]: lane l of vector v is channel 4 * l + v
  const uint16_t* used;     // [blocks]: which slots have a weight
  const uint8_t* indices;   // [groups][blocks][block_bytes]
};

SQUEEZE_INLINE Coded ViewOf(const Tables& tables, const void* packed) {
  const auto* base = static_cast<const uint8_t*>(packed);
  const qconv::Packed floats = View(tables.panel, packed);
  return {
      floats.bias,
      floats.multiplier,
      reinterpret_cast<const int8_t*>(base + tables.tables_at),
      reinterpret_cast<const uint16_t*>(base + tables.used_at),
      base + tables.indices_at,
  };
}

bool Supports(const Conv& conv) { return conv.groups == 1; }

template <int kBits>
size_t PackedBytes(const Conv& conv) {
  return TablesOf<kBits>(conv).bytes;
}

SQUEEZE_INLINE int32_t SlotOf(const Conv& conv, const qconv::Layout& layout, int32_t i, int32_t kh,
                              int32_t kw) {
  const bool joined = layout.runs_per_row == 1;
  const int32_t run = kh * layout.runs_per_row + (joined ? 0 : kw);
  return run * layout.run_bytes + (joined ? kw * conv.in_channels : 0) + i;
}

template <int kBits>
void PackWeights(const Conv& conv, const Weights& weights, void* packed) {
  const Tables tables = TablesOf<kBits>(conv);
  const Coded view = ViewOf(tables, packed);
  const size_t per_output = WeightsPerOutput(conv);
  constexpr int kPerByte = 8 / kBits;
  for (int32_t o = 0; o < conv.out_channels; ++o) {
    const_cast<int32_t*>(view.bias)[o] = FoldedBias(conv, weights, o);
    const_cast<float*>(view.multiplier)[o] = weights.multiplier[o];
    const int8_t* from = weights.w + o * per_output;
    const Levels levels = LevelsOf(from, per_output);
    const size_t group = o / kLanes, lane = o % kLanes / kQuarter, vector = o % kQuarter;
    auto* table = const_cast<int8_t*>(view.tables) + group * kLanes * kMostLevels;
    memcpy(table + vector * 64 + lane * kMostLevels, levels.level, levels.count);
    auto* indices = const_cast<uint8_t*>(view.indices) + group * tables.blocks * tables.block_bytes;
    for (int32_t i = 0; i < conv.in_channels; ++i) {
      for (int32_t kh = 0; kh < conv.kernel_h; ++kh) {
        for (int32_t kw = 0; kw < conv.kernel_w; ++kw) {
          const int32_t slot = SlotOf(conv, tables.panel, i, kh, kw);
          const uint32_t index = levels.index[static_cast<uint8_t>(*from++)];
          const size_t at = slot / kBlock * tables.block_bytes + vector / kPerByte * 64 +
                            lane * kBlock + slot % kBlock;
          indices[at] |= static_cast<uint8_t>(index << vector % kPerByte * kBits);
          const_cast<uint16_t*>(view.used)[slot / kBlock] |= uint16_t{1} << slot % kBlock;
        }
      }
    }
  }
}

// The indices of 16 slots of 16 channels, one in each byte.
template <int kBits>
SQUEEZE_INLINE void LoadIndices(const uint8_t* from, __m512i (&to)[kQuarter]) {
  constexpr int kPerByte = 8 / kBits;
  const __m512i mask = _mm512_set1_epi8((1 << kBits) - 1);
#pragma GCC unroll 4
  for (int v = 0; v < kQuarter; ++v) {
    const __m512i bytes = _mm512_loadu_si512(from + v / kPerByte * 64);
    to[v] = _mm512_and_si512(_mm512_srli_epi16(bytes, v % kPerByte * kBits), mask);
  }
}

SQUEEZE_INLINE void LoadTables(const Coded& view, int32_t group, __m512i (&to)[kQuarter]) {
  const int8_t* tables = view.tables + size_t{1} * group * kLanes * kMostLevels;
#pragma GCC unroll 4
  for (int v = 0; v < kQuarter; ++v) to[v] = _mm512_loadu_si512(tables + v * 64);
}

// The weights of `group` as the dense blocks read them: [quad][16 channels][4].
template <int kBits>
SQUEEZE_INLINE void DecodePanel(const Tables& tables, const Coded& view, int32_t group,
                                int8_t* panel) {
  __m512i table[kQuarter];
  LoadTables(view, group, table);
  const uint8_t* indices = view.indices + group * tables.blocks * tables.block_bytes;
  for (int32_t block = 0; block < tables.blocks; ++block) {
    const __mmask64 used = view.used[block] * 0x0001000100010001ull;
    __m512i w[kQuarter];
    LoadIndices<kBits>(indices, w);
#pragma GCC unroll 4
    for (int v = 0; v < kQuarter; ++v) w[v] = _mm512_maskz_shuffle_epi8(used, table[v], w[v]);
    const __m512i low01 = _mm512_unpacklo_epi32(w[0], w[1]);
    const __m512i low23 = _mm512_unpacklo_epi32(w[2], w[3]);
    const __m512i high01 = _mm512_unpackhi_epi32(w[0], w[1]);
    const __m512i high23 = _mm512_unpackhi_epi32(w[2], w[3]);
    _mm512_storeu_si512(panel, _mm512_unpacklo_epi64(low01, low23));
    _mm512_storeu_si512(panel + 64, _mm512_unpackhi_epi64(low01, low23));
    _mm512_storeu_si512(panel + 128, _mm512_unpacklo_epi64(high01, high23));
    _mm512_storeu_si512(panel + 192, _mm512_unpackhi_epi64(high01, high23));
    indices += tables.block_bytes;
    panel += kBlock * kLanes;
  }
}

// Lane l of v[i] holds four parts of channel 4 * l + i; the sums, in the order of channels.
SQUEEZE_INLINE __m512i AddParts(const __m512i (&v)[kQuarter]) {
  const __m512i a =
      _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
  const __m512i b =
      _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
  return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

// What stays the same for all blocks of a call.
struct Call {
  const Conv& conv;
  const Tables& tables;
  const Coded& view;
  const Requant& q;
};

// All channels of P pixels, whose windows are `windows` [P][blocks][kBlock]; slots without a weight
// are 0.
template <int kBits, int P, bool kResidual>
void Few(const Call& call, const uint8_t* windows, const uint8_t* residual, uint8_t* y) {
  const size_t window_bytes = size_t{1} * call.tables.blocks * kBlock;
  const size_t channels = call.conv.out_channels;
  const uint8_t* indices = call.view.indices;
  for (int32_t group = 0; group < call.tables.panel.groups; ++group) {
    __m512i table[kQuarter], sum[P][kQuarter] = {};
    LoadTables(call.view, group, table);
    const uint8_t* x = windows;
    for (int32_t block = 0; block < call.tables.blocks; ++block, x += kBlock) {
      __m512i w[kQuarter];
      LoadIndices<kBits>(indices, w);
      indices += call.tables.block_bytes;
#pragma GCC unroll 4
      for (int v = 0; v < kQuarter; ++v) w[v] = _mm512_shuffle_epi8(table[v], w[v]);
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) {
        const auto* at = reinterpret_cast<const __m128i*>(x + p * window_bytes);
        const __m512i xv = _mm512_broadcast_i32x4(_mm_loadu_si128(at));
#pragma GCC unroll 4
        for (int v = 0; v < kQuarter; ++v) Dot4(sum[p][v], xv, w[v]);
      }
    }
    const size_t first = size_t{1} * group * kLanes;
    const size_t left = channels - first;
    const auto mask = static_cast<__mmask16>(left >= kLanes ? 0xffff : (1 << left) - 1);
    const __m512i bias = _mm512_loadu_si512(call.view.bias + first);
    const __m512 multiplier = _mm512_loadu_ps(call.view.multiplier + first);
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      const size_t at = p * channels + first;
      const __m512i v = Result<kResidual>(_mm512_add_epi32(AddParts(sum[p]), bias), multiplier,
                                          residual + at, mask, call.q);
      StoreBytes(y + at, mask, _mm512_castsi512_si128(Pack(v, v, v, v, call.q)));
    }
  }
}

template <int kBits, bool kResidual>
void AnyFew(const Call& call, const uint8_t* windows, int32_t pixels, const uint8_t* residual,
            uint8_t* y) {
  static constexpr decltype(&Few<kBits, 1, kResidual>) kFew[kFewPixels] = {
      Few<kBits, 1, kResidual>,
      Few<kBits, 2, kResidual>,
      Few<kBits, 3, kResidual>,
      Few<kBits, 4, kResidual>,
  };
  kFew[pixels - 1](call, windows, residual, y);
}

// Copies the window at `x` to `to`, with zeros in slots without a weight.
SQUEEZE_INLINE void CopyWindow(const Conv& conv, const Tables& tables, const uint8_t* x,
                               size_t pitch, uint8_t* to) {
  const qconv::Layout& layout = tables.panel;
  const size_t run_bytes =
      size_t{1} * conv.in_channels * (layout.runs_per_row == 1 ? conv.kernel_w : 1);
  memset(to, 0, size_t{1} * tables.blocks * kBlock);
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
  const qconv::Layout& layout = call.tables.panel;
  const size_t channels = conv.out_channels;
  const size_t pixel_step = size_t{1} * conv.stride_w * conv.in_channels;
  // Rows that follow each other without a gap are one long row.
  const bool joins = conv.kernel_h * conv.stride_h == 1 && pitch == extent.out_w * pixel_step;
  const int32_t rows = joins ? 1 : end - begin;
  const int32_t count = joins ? (end - begin) * extent.out_w : extent.out_w;
  for (int32_t group = 0; group < layout.groups; group += 2) {
    const int32_t first = group * kLanes, left = conv.out_channels - first;
    DecodePanel<kBits>(call.tables, call.view, group, panel);
    if (left > kLanes) {
      DecodePanel<kBits>(call.tables, call.view, group + 1, panel + layout.group_bytes);
    }
    const qconv::Packed decoded = {call.view.bias + first, call.view.multiplier + first, panel};
    const Job job = {conv, layout, decoded, call.q, pitch, pixel_step};
    for (int32_t row = 0; row < rows; ++row) {
      const uint8_t* at = x + size_t{1} * row * conv.stride_h * pitch;
      const size_t out = size_t{1} * (begin + row) * extent.out_w * channels + first;
      const uint8_t* residual = task.residual ? task.residual + out : nullptr;
      uint8_t* y = task.y + out;
      if (left >= 2 * kLanes) {
        RowOfGroups(job, at, 0, 2, left, count, residual, y);
        continue;
      }
      RowOfGroups(job, at, 0, 1, left, count, residual, y);
      if (left > kLanes) {
        RowOfGroups(job, at, 1, 1, left - kLanes, count, residual ? residual + kLanes : nullptr,
                    y + kLanes);
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
  return PaddedBytes(conv, extent) + 2 * TablesOf<kBits>(conv).panel.group_bytes;
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
    const qconv::Rows rows = RowsFor(conv, begin, end);
    for (int32_t i = 0; i < rows.count; ++i) {
      LayPaddedRow(conv, extent, task.x, rows.first + i, columns, padded + i * pitch);
    }
    take(padded, pitch, begin, end);
  }
}

template <int kBits, bool kResidual>
SQUEEZE_INLINE void RunFew(const Call& call, const Extent& extent, const Task& task,
                           uint8_t* padded, uint8_t* windows) {
  const Conv& conv = call.conv;
  uint8_t* to = windows;
  ForEachPiece(
      conv, extent, task, padded, [&](const uint8_t* x, size_t pitch, int32_t begin, int32_t end) {
        for (int32_t pixel = 0; pixel < (end - begin) * extent.out_w; ++pixel) {
          const uint8_t* at = x + pixel / extent.out_w * conv.stride_h * pitch +
                              size_t{1} * (pixel % extent.out_w) * conv.stride_w * conv.in_channels;
          CopyWindow(conv, call.tables, at, pitch, to);
          to += size_t{1} * call.tables.blocks * kBlock;
        }
      });
  const int32_t pixels = (task.row_end - task.row_begin) * extent.out_w;
  const size_t out = size_t{1} * task.row_begin * extent.out_w * conv.out_channels;
  AnyFew<kBits, kResidual>(call, windows, pixels, kResidual ? task.residual + out : nullptr,
                           task.y + out);
}

template <int kBits>
SQUEEZE_INLINE void RunAny(const Call& call, const Extent& extent, const Task& task,
                           void* scratch) {
  auto* padded = static_cast<uint8_t*>(scratch);
  auto* panel = reinterpret_cast<int8_t*>(padded + PaddedBytes(call.conv, extent));
  if (int64_t{task.row_end - task.row_begin} * extent.out_w <= kFewPixels) {
    auto* windows = reinterpret_cast<uint8_t*>(panel);
    return task.residual ? RunFew<kBits, true>(call, extent, task, padded, windows)
                         : RunFew<kBits, false>(call, extent, task, padded, windows);
  }
  ForEachPiece(call.conv, extent, task, padded,
               [&](const uint8_t* x, size_t pitch, int32_t begin, int32_t end) {
                 Rows<kBits>(call, extent, task, x, pitch, begin, end, panel);
               });
}

template <int kBits>
void Run(const Conv& conv, const void* packed, const Extent& extent, const Task& task,
         void* scratch) {
  const Tables tables = TablesOf<kBits>(conv);
  const Coded view = ViewOf(tables, packed);
  const Requant q = MakeRequant(conv);
  const Call call = {conv, tables, view, q};
  RunAny<kBits>(call, extent, task, scratch);
}

// A task decodes all weights, which takes as long as some pixels: twice the work of the dense
// kernel's tasks.
constexpr int64_t kMacsPerTask = 2'000'000;

}  // namespace

extern const Kernel dense2__x86_avx512vnni = {
    2,
    {"qcodebook dense2__x86_avx512vnni", Isa::kX86Avx512Vnni, kMacsPerTask, Supports,
     PackedBytes<2>, PackWeights<2>, ScratchBytes<2>, Run<2>}};

extern const Kernel dense4__x86_avx512vnni = {
    4,
    {"qcodebook dense4__x86_avx512vnni", Isa::kX86Avx512Vnni, kMacsPerTask, Supports,
     PackedBytes<4>, PackWeights<4>, ScratchBytes<4>, Run<4>}};

}  // namespace squeeze::qcodebook
