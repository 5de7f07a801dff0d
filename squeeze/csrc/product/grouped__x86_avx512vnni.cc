// Convolution in groups of any size, with VNNI dot products; any kernel size, stride, dilation and
// padding.
//
// A block of P pixels x 16 output channels stays in registers. Wide groups: an input of 4 bytes is
// broadcast to all lanes. Narrow groups, several to a vector: a byte permutation of the 64 bytes at
// hand gives each lane the input of its group. Every tap of the kernel is a run of the channels of
// a group, filled up to 4 bytes with zero weights.
#include "product/lanes.h"
#include "product/x86_avx512_rows.h"

namespace squeeze::product {
namespace {

constexpr int32_t kLanes = 16;
constexpr int32_t kWindow = 64;
constexpr int32_t kMostPixels = 8;
// Padded rows are copied in pieces of about this size: they stay in the first-level cache.
constexpr size_t kScratchTarget = 24 * 1024;
constexpr size_t kOverRead = 64;

struct Layout {
  LaneBlocks blocks;
  int32_t quads;       // of a run
  size_t block_bytes;  // weights of one lane block: [kh][kw][quads][16][4]
};

SQUEEZE_INLINE Layout LayoutOf(const Conv& conv) {
  Layout layout;
  layout.blocks = LaneBlocksOf(conv, kLanes, 4, kWindow);
  layout.quads = (layout.blocks.in_per_group + 3) / 4;
  layout.block_bytes = size_t{1} * conv.kernel_h * conv.kernel_w * layout.quads * 64;
  return layout;
}

struct Packed {
  const int32_t* bias;      // [blocks * 16]
  const float* multiplier;  // [blocks * 16]
  const int8_t* w;          // [blocks][block_bytes]
};

SQUEEZE_INLINE Packed View(const Layout& layout, const void* packed) {
  const size_t lanes = size_t{1} * layout.blocks.count * kLanes;
  const auto* bias = static_cast<const int32_t*>(packed);
  const auto* multiplier = reinterpret_cast<const float*>(bias + lanes);
  return {bias, multiplier, reinterpret_cast<const int8_t*>(multiplier + lanes)};
}

bool Supports(const Conv& conv) { return conv.groups > 1 && !conv.has_real_y; }

size_t PackedBytes(const Conv& conv) {
  const Layout layout = LayoutOf(conv);
  return layout.blocks.count * (kLanes * 8 + layout.block_bytes);
}

void PackWeights(const Conv& conv, const Weights& weights, void* packed) {
  const Layout layout = LayoutOf(conv);
  const LaneBlocks& blocks = layout.blocks;
  const Packed view = View(layout, packed);
  const int32_t taps = conv.kernel_h * conv.kernel_w;
  for (int32_t b = 0; b < blocks.count; ++b) {
    const LaneBlock block = LaneBlockAt(conv, blocks, b, kLanes);
    auto* w = const_cast<int8_t*>(view.w) + b * layout.block_bytes;
    for (int32_t lane = 0; lane < block.valid; ++lane) {
      const int32_t o = block.output + lane;
      const_cast<int32_t*>(view.bias)[b * kLanes + lane] = FoldedBias(conv, weights, o);
      const_cast<float*>(view.multiplier)[b * kLanes + lane] = weights.multiplier[o];
      const int8_t* from = weights.w + size_t{1} * o * blocks.in_per_group * taps;
      for (int32_t i = 0; i < blocks.in_per_group; ++i) {
        for (int32_t tap = 0; tap < taps; ++tap) {
          w[(size_t{1} * tap * layout.quads + i / 4) * 64 + lane * 4 + i % 4] = *from++;
        }
      }
    }
  }
}

// Output rows whose padded input rows are copied at once.
SQUEEZE_INLINE int32_t RowsPerPiece(const Conv& conv, const Extent& extent) {
  const size_t fit = kScratchTarget / (size_t{1} * PaddedColumns(conv, extent) * conv.in_channels);
  const size_t kernel_rows = size_t{1} * (conv.kernel_h - 1) * conv.dilation_h + 1;
  const size_t rows = fit > kernel_rows ? (fit - kernel_rows) / conv.stride_h + 1 : 1;
  return rows < static_cast<size_t>(extent.out_h) ? static_cast<int32_t>(rows) : extent.out_h;
}

size_t ScratchBytes(const Conv& conv, const Extent& extent) {
  const size_t pitch = size_t{1} * PaddedColumns(conv, extent) * conv.in_channels;
  return RowsFor(conv, 0, RowsPerPiece(conv, extent)).count * pitch + kOverRead;
}

// What stays the same for all blocks of a call.
struct Job {
  const Conv& conv;
  const Layout& layout;
  const Packed& packed;
  const Requant& q;
  __m512i order;      // of the bytes of a window, for narrow groups
  size_t pitch;       // bytes from a row of the padded image to the next
  size_t pixel_step;  // bytes from the window of one output to that of the next
};

SQUEEZE_INLINE __m512i LaneQuads(const LaneBlocks& blocks) {
  alignas(64) uint8_t index[64] = {};
  for (int32_t group = 0, lane = 0; group < blocks.groups_per_block; ++group) {
    for (int32_t o = 0; o < blocks.out_per_group && lane < kLanes; ++o, ++lane) {
      for (int32_t byte = 0; byte < 4; ++byte) {
        index[lane * 4 + byte] = static_cast<uint8_t>(group * blocks.in_per_group + byte);
      }
    }
  }
  return _mm512_load_si512(index);
}

// P pixels from window `x` on of one lane block. `mask`: valid channels.
template <int P, bool kShuffled, bool kResidual>
void Block(const Job& job, const uint8_t* x, int32_t block, __mmask16 mask, const uint8_t* residual,
           uint8_t* y) {
  __m512i acc[P];
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) acc[p] = _mm512_loadu_si512(job.packed.bias + block * kLanes);
  const int8_t* w = job.packed.w + block * job.layout.block_bytes;
  for (int32_t kh = 0; kh < job.conv.kernel_h; ++kh) {
    const uint8_t* run = x + kh * job.conv.dilation_h * job.pitch;
    for (int32_t kw = 0; kw < job.conv.kernel_w; ++kw) {
      const uint8_t* at = run;
      for (int32_t k = 0; k < job.layout.quads; ++k, w += 64, at += 4) {
        const __m512i wv = _mm512_loadu_si512(w);
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) {
          const uint8_t* from = at + p * job.pixel_step;
          if constexpr (kShuffled) {
            Dot4(acc[p], _mm512_permutexvar_epi8(job.order, _mm512_loadu_si512(from)), wv);
          } else {
            int32_t quad;
            memcpy(&quad, from, 4);
            Dot4(acc[p], _mm512_set1_epi32(quad), wv);
          }
        }
      }
      run += size_t{1} * job.conv.dilation_w * job.conv.in_channels;
    }
  }
  const size_t channels = job.conv.out_channels;
  const __m512 multiplier = _mm512_loadu_ps(job.packed.multiplier + block * kLanes);
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
    __m512i v;
    if constexpr (kResidual) {
      v = ScaleAndAdd(acc[p], multiplier, _mm_maskz_loadu_epi8(mask, residual + p * channels),
                      job.q);
    } else {
      v = Scale(acc[p], multiplier);
    }
    StoreBytes(y + p * channels, mask, _mm512_castsi512_si128(Pack(v, v, v, v, job.q)));
  }
}

using BlockFunction = void (*)(const Job&, const uint8_t*, int32_t, __mmask16, const uint8_t*,
                               uint8_t*);

template <bool kShuffled, bool kResidual>
constexpr BlockFunction kBlocks[kMostPixels] = {
    Block<1, kShuffled, kResidual>, Block<2, kShuffled, kResidual>, Block<3, kShuffled, kResidual>,
    Block<4, kShuffled, kResidual>, Block<5, kShuffled, kResidual>, Block<6, kShuffled, kResidual>,
    Block<7, kShuffled, kResidual>, Block<8, kShuffled, kResidual>,
};

// One row of `count` pixels, all output channels, by blocks of about equal width.
void Row(const Job& job, const BlockFunction* of_width, const uint8_t* x, int32_t count,
         const uint8_t* residual, uint8_t* y) {
  const LaneBlocks& blocks = job.layout.blocks;
  for (int32_t b = 0; b < blocks.count; ++b) {
    const LaneBlock block = LaneBlockAt(job.conv, blocks, b, kLanes);
    const auto mask = static_cast<__mmask16>((1 << block.valid) - 1);
    const uint8_t* from = x + block.group * blocks.in_per_group;
    int32_t left = (count + kMostPixels - 1) / kMostPixels;
    for (int32_t done = 0; left > 0; --left) {
      const int32_t width = (count - done + left - 1) / left;
      const size_t out = size_t{1} * done * job.conv.out_channels + block.output;
      of_width[width - 1](job, from + done * job.pixel_step, b, mask,
                          residual ? residual + out : nullptr, y + out);
      done += width;
    }
  }
}

void Run(const Conv& conv, const void* packed, const Extent& extent, const Task& task,
         void* scratch) {
  const Layout layout = LayoutOf(conv);
  const Packed view = View(layout, packed);
  const Requant q = MakeRequant(conv);
  const int32_t columns = PaddedColumns(conv, extent);
  const size_t channels = conv.in_channels, pitch = columns * channels;
  const size_t out_pitch = size_t{1} * extent.out_w * conv.out_channels;
  const bool shuffled = layout.blocks.groups_per_block > 1;
  const __m512i order = shuffled ? LaneQuads(layout.blocks) : _mm512_setzero_si512();
  const Job job = {conv, layout, view, q, order, pitch, conv.stride_w * channels};
  const BlockFunction* of_width =
      shuffled ? (task.residual ? kBlocks<true, true> : kBlocks<true, false>)
               : (task.residual ? kBlocks<false, true> : kBlocks<false, false>);
  auto* padded = static_cast<uint8_t*>(scratch);
  const int32_t step = RowsPerPiece(conv, extent);
  for (int32_t begin = task.row_begin; begin < task.row_end; begin += step) {
    const int32_t end = begin + step < task.row_end ? begin + step : task.row_end;
    const Rows rows = RowsFor(conv, begin, end);
    for (int32_t i = 0; i < rows.count; ++i) {
      LayPaddedRow(conv, extent, task.x, rows.first + i, columns, padded + i * pitch);
    }
    for (int32_t row = begin; row < end; ++row) {
      const size_t out = row * out_pitch;
      Row(job, of_width, padded + size_t{1} * (row - begin) * conv.stride_h * pitch, extent.out_w,
          task.residual ? task.residual + out : nullptr, task.y + out);
    }
  }
}

}  // namespace

extern const Kernel grouped__x86_avx512vnni = {
    "product grouped__x86_avx512vnni",
    Isa::kX86Avx512Vnni,
    500'000,
    Supports,
    PackedBytes,
    PackWeights,
    ScratchBytes,
    Run,
};

}  // namespace squeeze::product
