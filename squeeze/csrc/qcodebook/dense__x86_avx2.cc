// Dense convolution with decoded weights, any kernel size, stride, dilation and padding: sixteen
// output channels at a time are decoded into a panel in the cache, which the blocks of the dense
// kernel then read.
//
// Indices lie as they are looked up: a 16-byte lane of a vector belongs to one output channel,
// holds 16 consecutive weights of its window, and meets the table of that channel in the same lane
// of a register. Four such vectors are 8 channels.
#include "product/x86_avx2_blocks.h"
#include "qcodebook/levels.h"
#include "qcodebook/qcodebook.h"

namespace squeeze::qcodebook {
namespace {

using namespace product;

constexpr int32_t kBlock = 16;   // weights of a channel that are decoded at once
constexpr int32_t kQuarter = 4;  // vectors of them for kLanes channels
constexpr size_t kVector = 32;   // bytes
constexpr size_t kPanels = 2;

// The window of one output is cut into slots of one weight each, in the order of product::Layout;
// slots that fill a run up to pairs have no weight.
struct Tables {
  product::Layout panel;  // the layout of decoded weights, in whole blocks
  int32_t blocks;
  size_t block_bytes;  // indices of kLanes channels
  size_t tables_at, used_at, indices_at, bytes;
};

template <int kBits>
SQUEEZE_INLINE Tables TablesOf(const Conv& conv) {
  Tables to = {};
  to.panel = LayoutOf(conv);
  to.blocks = static_cast<int32_t>((to.panel.block_pairs * 2 + kBlock - 1) / kBlock);
  to.panel.block_pairs = size_t{1} * to.blocks * kBlock / 2;
  to.block_bytes = kBlock * kLanes * kBits / 8;
  const size_t lane_blocks = to.panel.blocks.count;
  to.tables_at = lane_blocks * kLanes * 8;  // behind bias and multiplier
  to.used_at = to.tables_at + lane_blocks * kLanes * kMostLevels;
  to.indices_at = to.used_at + size_t{1} * to.blocks * kBlock;
  to.bytes = to.indices_at + lane_blocks * to.blocks * to.block_bytes;
  return to;
}

struct Coded {
  const int32_t* bias;      // [lane blocks * 8]
  const float* multiplier;  // [lane blocks * 8]
  const int8_t* tables;    // [lane blocks][4][2 lanes][16]: lane l of vector v is channel 4 * l + v
  const uint8_t* used;     // [blocks][16]: 255 where a slot has a weight
  const uint8_t* indices;  // [lane blocks][blocks][block_bytes]
};

SQUEEZE_INLINE Coded ViewOf(const Tables& tables, const void* packed) {
  const auto* base = static_cast<const uint8_t*>(packed);
  const product::Packed floats = View(tables.panel, packed);
  return {
      floats.bias,
      floats.multiplier,
      reinterpret_cast<const int8_t*>(base + tables.tables_at),
      base + tables.used_at,
      base + tables.indices_at,
  };
}

bool Supports(const Conv& conv) { return conv.groups == 1; }

template <int kBits>
size_t CodedBytes(const Conv& conv) {
  return TablesOf<kBits>(conv).bytes;
}

template <int kBits>
void PackCoded(const Conv& conv, const Weights& weights, void* packed) {
  const Tables tables = TablesOf<kBits>(conv);
  const Coded view = ViewOf(tables, packed);
  const size_t per_output = WeightsPerOutput(conv);
  const bool joined = tables.panel.runs_per_row == 1;
  constexpr int kPerByte = 8 / kBits;
  for (int32_t o = 0; o < conv.out_channels; ++o) {
    const_cast<int32_t*>(view.bias)[o] = FoldedBias(conv, weights, o);
    const_cast<float*>(view.multiplier)[o] = weights.multiplier[o];
    const int8_t* from = weights.w + o * per_output;
    const Levels levels = LevelsOf(from, per_output);
    const size_t lane_block = o / kLanes, lane = o % kLanes / kQuarter, vector = o % kQuarter;
    auto* table = const_cast<int8_t*>(view.tables) + lane_block * kLanes * kMostLevels;
    memcpy(table + vector * kVector + lane * kMostLevels, levels.level, levels.count);
    auto* indices =
        const_cast<uint8_t*>(view.indices) + lane_block * tables.blocks * tables.block_bytes;
    for (int32_t i = 0; i < conv.in_channels; ++i) {
      for (int32_t kh = 0; kh < conv.kernel_h; ++kh) {
        for (int32_t kw = 0; kw < conv.kernel_w; ++kw) {
          const int32_t run = kh * tables.panel.runs_per_row + (joined ? 0 : kw);
          const int32_t slot =
              run * tables.panel.run_pairs * 2 + (joined ? kw * conv.in_channels : 0) + i;
          const uint32_t index = levels.index[static_cast<uint8_t>(*from++)];
          const size_t at = slot / kBlock * tables.block_bytes + vector / kPerByte * kVector +
                            lane * kBlock + slot % kBlock;
          indices[at] |= static_cast<uint8_t>(index << vector % kPerByte * kBits);
          const_cast<uint8_t*>(view.used)[slot] = 255;
        }
      }
    }
  }
}

// The weights of `lane_block` as the dense blocks read them: [pair][8 channels][2].
template <int kBits>
SQUEEZE_INLINE void DecodePanel(const Tables& tables, const Coded& view, int32_t lane_block,
                                int16_t* panel) {
  constexpr int kPerByte = 8 / kBits;
  const __m256i low_bits = _mm256_set1_epi8((1 << kBits) - 1);
  const int8_t* table = view.tables + size_t{1} * lane_block * kLanes * kMostLevels;
  const uint8_t* indices = view.indices + lane_block * tables.blocks * tables.block_bytes;
  for (int32_t block = 0; block < tables.blocks; ++block, indices += tables.block_bytes) {
    const __m256i used = _mm256_broadcastsi128_si256(Load128(view.used + block * kBlock));
    __m256i w[kQuarter];
#pragma GCC unroll 4
    for (int v = 0; v < kQuarter; ++v) {
      const __m256i bytes = Load256(indices + v / kPerByte * kVector);
      const __m256i index =
          _mm256_and_si256(_mm256_srli_epi16(bytes, v % kPerByte * kBits), low_bits);
      w[v] = _mm256_and_si256(_mm256_shuffle_epi8(Load256(table + v * kVector), index), used);
    }
    const __m256i pairs[4] = {_mm256_unpacklo_epi16(w[0], w[1]), _mm256_unpacklo_epi16(w[2], w[3]),
                              _mm256_unpackhi_epi16(w[0], w[1]), _mm256_unpackhi_epi16(w[2], w[3])};
    const __m256i quads[4] = {
        _mm256_unpacklo_epi32(pairs[0], pairs[1]), _mm256_unpackhi_epi32(pairs[0], pairs[1]),
        _mm256_unpacklo_epi32(pairs[2], pairs[3]), _mm256_unpackhi_epi32(pairs[2], pairs[3])};
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i, panel += 32) {
      const __m256i low = _mm256_unpacklo_epi8(quads[i], quads[i]);
      const __m256i high = _mm256_unpackhi_epi8(quads[i], quads[i]);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(panel), _mm256_srai_epi16(low, 8));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(panel + 16), _mm256_srai_epi16(high, 8));
    }
  }
}

// What stays the same for all pieces of a call.
struct Call {
  const Conv& conv;
  const Tables& tables;
  const Coded& view;
  const Requant& q;
  int16_t* panel;
};

// One row of `count` pixels by blocks of about equal width; G lane blocks, of which `valid`
// channels are in use.
template <int G, Made kMade>
SQUEEZE_INLINE void DecodedRow(const Job& job, const uint16_t* x, int32_t count, int32_t valid,
                               const uint8_t* residual, uint8_t* y) {
  int32_t left = (count + kMostPixels - 1) / kMostPixels;
  for (int32_t done = 0; left > 0; --left) {
    const int32_t width = (count - done + left - 1) / left;
    const size_t out = size_t{1} * done * job.conv.out_channels;
    kBlocks<G, false, kMade>[width - 1](job, x + done* job.pixel_step, 0, valid,
                                        kMade == Made::kSums ? residual + out : nullptr,
                                        y + out* YBytes(job.conv));
    done += width;
  }
}

// `rows` rows of `count` pixels, whose first window is at `x`; all output channels. residual and y
// begin with the first pixel.
template <int kBits, Made kMade>
void Piece(const Call& call, const uint16_t* x, size_t pitch, int32_t rows, int32_t count,
           const uint8_t* residual, uint8_t* y) {
  const Conv& conv = call.conv;
  const product::Layout& layout = call.tables.panel;
  const size_t panel_values = layout.block_pairs * kLanes * 2;
  for (int32_t b = 0; b < layout.blocks.count; b += kPanels) {
    const bool two = b + 1 < layout.blocks.count;
    DecodePanel<kBits>(call.tables, call.view, b, call.panel);
    if (two) DecodePanel<kBits>(call.tables, call.view, b + 1, call.panel + panel_values);
    const int32_t first = b * kLanes, left = conv.out_channels - first;
    const product::Packed decoded = {call.view.bias + first, call.view.multiplier + first,
                                     call.panel};
    const Job job = {conv,   layout, decoded,
                     call.q, pitch,  size_t{1} * conv.stride_w * conv.in_channels};
    for (int32_t row = 0; row < rows; ++row) {
      const uint16_t* at = x + size_t{1} * row * conv.stride_h * pitch;
      const size_t out = size_t{1} * row * count * conv.out_channels + first;
      const uint8_t* to_add = kMade == Made::kSums ? residual + out : nullptr;
      uint8_t* to = y + out * YBytes(conv);
      if (two) {
        DecodedRow<2, kMade>(job, at, count, left < 16 ? left : 16, to_add, to);
      } else {
        DecodedRow<1, kMade>(job, at, count, left, to_add, to);
      }
    }
  }
}

template <int kBits, Made kMade>
void RunAll(const Call& call, const Extent& extent, const Task& task, uint16_t* wide) {
  const Conv& conv = call.conv;
  const size_t channels = conv.in_channels, outputs = conv.out_channels;
  const auto piece = [&](size_t pixel, size_t pitch, int32_t rows, int32_t count) {
    const size_t out = pixel * outputs;
    Piece<kBits, kMade>(call, wide, pitch, rows, count,
                        kMade == Made::kSums ? task.residual + out : nullptr,
                        task.y + out * YBytes(conv));
  };
  if (IsPointwise(conv)) {
    const int32_t end = task.row_end * extent.out_w, step = PixelsPerPiece(conv);
    for (int32_t begin = task.row_begin * extent.out_w; begin < end; begin += step) {
      const int32_t count = end - begin < step ? end - begin : step;
      WidenBytes(task.x + begin * channels, count * channels, wide);
      piece(begin, 0, 1, count);
    }
    return;
  }
  const int32_t columns = PaddedColumns(conv, extent), step = RowsPerPiece(conv, extent);
  const size_t pitch = columns * channels;
  for (int32_t begin = task.row_begin; begin < task.row_end; begin += step) {
    const int32_t end = begin + step < task.row_end ? begin + step : task.row_end;
    const Rows rows = RowsFor(conv, begin, end);
    for (int32_t i = 0; i < rows.count; ++i) {
      WidenPaddedRow(conv, extent, task.x, rows.first + i, columns, wide + i * pitch);
    }
    piece(size_t{1} * begin * extent.out_w, pitch, end - begin, extent.out_w);
  }
}

SQUEEZE_INLINE size_t WideBytes(const Conv& conv, const Extent& extent) {
  return (ScratchBytes(conv, extent) + kAlignment - 1) / kAlignment * kAlignment;
}

template <int kBits>
size_t ScratchAndPanels(const Conv& conv, const Extent& extent) {
  return WideBytes(conv, extent) +
         kPanels * TablesOf<kBits>(conv).panel.block_pairs * kLanes * 2 * sizeof(int16_t);
}

template <int kBits>
void RunCoded(const Conv& conv, const void* packed, const Extent& extent, const Task& task,
              void* scratch) {
  const Tables tables = TablesOf<kBits>(conv);
  const Coded view = ViewOf(tables, packed);
  const Requant q = MakeRequant(conv);
  auto* base = static_cast<uint8_t*>(scratch);
  const Call call = {conv, tables, view, q,
                     reinterpret_cast<int16_t*>(base + WideBytes(conv, extent))};
  auto* wide = reinterpret_cast<uint16_t*>(base);
  switch (MadeOf(conv)) {
    case Made::kReals:
      return RunAll<kBits, Made::kReals>(call, extent, task, wide);
    case Made::kSums:
      return RunAll<kBits, Made::kSums>(call, extent, task, wide);
    default:
      return RunAll<kBits, Made::kBytes>(call, extent, task, wide);
  }
}

// A task decodes all weights, which takes as long as some pixels: twice the work of the dense
// kernel's tasks.
constexpr int64_t kMacsPerTask = 1'000'000;
constexpr int32_t kLeastPixels = 64;

}  // namespace

extern const Kernel dense2__x86_avx2 = {
    2,
    {"qcodebook dense2__x86_avx2", Isa::kX86Avx2, kMacsPerTask, Supports, CodedBytes<2>,
     PackCoded<2>, ScratchAndPanels<2>, RunCoded<2>, kLeastPixels}};

extern const Kernel dense4__x86_avx2 = {
    4,
    {"qcodebook dense4__x86_avx2", Isa::kX86Avx2, kMacsPerTask, Supports, CodedBytes<4>,
     PackCoded<4>, ScratchAndPanels<4>, RunCoded<4>, kLeastPixels}};

}  // namespace squeeze::qcodebook
