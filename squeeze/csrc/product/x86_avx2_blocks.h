// Convolution with AVX2 by blocks of P pixels x G vectors of 8 output channels that stay in
// registers; for dense and grouped convolutions.
//
// Rows are copied, padded, as 16-bit values; weights are widened once. Two inputs meet two weights
// of each lane in one exact pmaddwd. Dense (and wide groups): the pair is broadcast to all lanes.
// Narrow groups: a shuffle gives each lane the pair of its group. With dilation_w 1 and one group
// the kw * channels values of a kernel row lie side by side, so they are one run; else every tap is
// a run. Runs are filled up to pairs with zero weights, so one value beyond a run is read.
#pragma once

#include <string.h>

#include "product/x86_avx2.h"
#include "product/x86_avx2_weights.h"

namespace squeeze::product {

constexpr int32_t kMostPixels = 6;
// Padded rows are copied in pieces of about this many values: they stay in the first-level cache.
constexpr size_t kScratchTarget = 10 * 1024;
constexpr size_t kOverRead = 32;

// Output rows whose padded input rows are copied at once.
SQUEEZE_INLINE int32_t RowsPerPiece(const Conv& conv, const Extent& extent) {
  const size_t fit = kScratchTarget / (size_t{1} * PaddedColumns(conv, extent) * conv.in_channels);
  const size_t kernel_rows = (conv.kernel_h - 1) * conv.dilation_h + 1;
  const size_t rows = fit > kernel_rows ? (fit - kernel_rows) / conv.stride_h + 1 : 1;
  return rows < static_cast<size_t>(extent.out_h) ? static_cast<int32_t>(rows) : extent.out_h;
}

// The same for pointwise convolutions, whose rows are one long row of pixels.
SQUEEZE_INLINE int32_t PixelsPerPiece(const Conv& conv) {
  const int32_t fit = static_cast<int32_t>(kScratchTarget) / conv.in_channels;
  return fit < 2 * kMostPixels ? 2 * kMostPixels : fit / kMostPixels * kMostPixels;
}

static size_t ScratchBytes(const Conv& conv, const Extent& extent) {
  size_t values = size_t{1} * PaddedColumns(conv, extent) * conv.in_channels *
                  RowsFor(conv, 0, RowsPerPiece(conv, extent)).count;
  if (IsPointwise(conv)) values = size_t{1} * PixelsPerPiece(conv) * conv.in_channels;
  return (values + kOverRead) * sizeof(uint16_t);
}

// What stays the same for all blocks of a call.
struct Job {
  const Conv& conv;
  const Layout& layout;
  const Packed& packed;
  const Requant& q;
  size_t pitch;       // values from a row of the padded image to the next
  size_t pixel_step;  // values from the window of one output to that of the next
};

// The pair of each lane, for narrow groups: bytes of a 16-byte window.
SQUEEZE_INLINE __m256i LanePairs(const LaneBlocks& blocks) {
  alignas(32) uint8_t index[32];
  for (int lane = 0; lane < kLanes; ++lane) {
    const int32_t group = lane / blocks.out_per_group;
    for (int byte = 0; byte < 4; ++byte) {
      index[lane * 4 + byte] = static_cast<uint8_t>(
          group < blocks.groups_per_block ? group * blocks.in_per_group * 2 + byte : byte);
    }
  }
  return Load256(index);
}

// P pixels from window `x` on, G lane blocks of one group, or one of narrow groups (kShuffled).
// `valid`: output channels in use.
template <int P, int G, bool kShuffled, Made kMade>
static void Block(const Job& job, const uint16_t* x, int32_t block, int32_t valid,
                  const uint8_t* residual, uint8_t* y) {
  __m256i acc[P][G];
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 2
    for (int g = 0; g < G; ++g) acc[p][g] = Load256(job.packed.bias + (block + g) * kLanes);
  }
  const size_t block_values = job.layout.block_pairs * kLanes * 2;
  const int16_t* w = job.packed.w + block * block_values;
  const __m256i order = kShuffled ? LanePairs(job.layout.blocks) : _mm256_setzero_si256();
  for (int32_t kh = 0; kh < job.conv.kernel_h; ++kh) {
    const uint16_t* run = x + kh * job.conv.dilation_h * job.pitch;
    for (int32_t r = 0; r < job.layout.runs_per_row; ++r) {
      const uint16_t* at = run;
      for (int32_t k = 0; k < job.layout.run_pairs; ++k, w += kLanes * 2, at += 2) {
        __m256i wv[G];
#pragma GCC unroll 2
        for (int g = 0; g < G; ++g) wv[g] = Load256(w + g * block_values);
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) {
          __m256i xv;
          if constexpr (kShuffled) {
            const __m128i window = Load128(at + p * job.pixel_step);
            xv = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(window), order);
          } else {
            int32_t pair;
            memcpy(&pair, at + p * job.pixel_step, 4);
            xv = _mm256_set1_epi32(pair);
          }
#pragma GCC unroll 2
          for (int g = 0; g < G; ++g) acc[p][g] = Dot2(acc[p][g], xv, wv[g]);
        }
      }
      run += size_t{1} * job.conv.dilation_w * job.conv.in_channels;
    }
  }
  const size_t channels = job.conv.out_channels;
  if constexpr (kMade == Made::kReals) {
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 2
      for (int g = 0; g < G; ++g) {
        const __m256 multiplier = _mm256_loadu_ps(job.packed.multiplier + (block + g) * kLanes);
        float* to = reinterpret_cast<float*>(y) + p * channels + g * kLanes;
        StoreReals(ScaleToReal(acc[p][g], multiplier), valid - g * kLanes, to);
      }
    }
    return;
  }
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
    __m256i v[2];
    __m128i r = _mm_setzero_si128();
    if constexpr (kMade == Made::kSums) r = LoadSome(residual + p * channels, valid);
#pragma GCC unroll 2
    for (int g = 0; g < G; ++g) {
      const __m256 multiplier = _mm256_loadu_ps(job.packed.multiplier + (block + g) * kLanes);
      if constexpr (kMade == Made::kSums) {
        const __m256i wide = _mm256_cvtepu8_epi32(g ? _mm_srli_si128(r, 8) : r);
        v[g] = ScaleAndAdd(acc[p][g], multiplier, wide, job.q);
      } else {
        v[g] = Scale(acc[p][g], multiplier);
      }
    }
    const __m256i wide = AddZeroPoint(v[0], v[G - 1], job.q);
    const __m128i bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    // Dwords are now channels 0, 8, 4, 12.
    StoreSome(_mm_shuffle_epi32(bytes, _MM_SHUFFLE(3, 1, 2, 0)), valid, y + p * channels);
  }
}

using BlockFunction = void (*)(const Job&, const uint16_t*, int32_t, int32_t, const uint8_t*,
                               uint8_t*);

template <int G, bool kShuffled, Made kMade>
static constexpr BlockFunction kBlocks[kMostPixels] = {
    Block<1, G, kShuffled, kMade>, Block<2, G, kShuffled, kMade>, Block<3, G, kShuffled, kMade>,
    Block<4, G, kShuffled, kMade>, Block<5, G, kShuffled, kMade>, Block<6, G, kShuffled, kMade>,
};

// One row of `count` pixels, all output channels, by blocks of about equal width.
template <bool kShuffled, Made kMade>
static void Row(const Job& job, const uint16_t* x, int32_t count, const uint8_t* residual,
                uint8_t* y) {
  const LaneBlocks& blocks = job.layout.blocks;
  for (int32_t b = 0; b < blocks.count;) {
    const LaneBlock block = LaneBlockAt(job.conv, blocks, b, kLanes);
    const bool two = !kShuffled && b % blocks.blocks_per_group + 1 < blocks.blocks_per_group;
    int32_t valid = block.valid;
    if (two) valid += LaneBlockAt(job.conv, blocks, b + 1, kLanes).valid;
    const BlockFunction* of_width = two ? kBlocks<2, false, kMade> : kBlocks<1, kShuffled, kMade>;
    const uint16_t* from = x + block.group * blocks.in_per_group;
    int32_t left = (count + kMostPixels - 1) / kMostPixels;
    for (int32_t done = 0; left > 0; --left) {
      const int32_t width = (count - done + left - 1) / left;
      const size_t out = size_t{1} * done * job.conv.out_channels + block.output;
      of_width[width - 1](job, from + done * job.pixel_step, b, valid,
                          kMade == Made::kSums ? residual + out : nullptr,
                          y + out * YBytes(job.conv));
      done += width;
    }
    b += two ? 2 : 1;
  }
}

// `kGrouped` false leaves the code for narrow groups out.
template <bool kGrouped>
SQUEEZE_INLINE void AnyRow(const Job& job, const uint16_t* x, int32_t count,
                           const uint8_t* residual, uint8_t* y) {
  if constexpr (kGrouped) {
    if (job.layout.blocks.groups_per_block > 1) {
      return residual ? Row<true, Made::kSums>(job, x, count, residual, y)
                      : Row<true, Made::kBytes>(job, x, count, residual, y);
    }
  }
  switch (MadeOf(job.conv)) {
    case Made::kReals:
      if constexpr (!kGrouped) return Row<false, Made::kReals>(job, x, count, residual, y);
      return;  // no grouped kernel makes them
    case Made::kSums:
      return Row<false, Made::kSums>(job, x, count, residual, y);
    default:
      return Row<false, Made::kBytes>(job, x, count, residual, y);
  }
}

template <bool kGrouped>
static void RunPointwise(const Job& job, const Extent& extent, const Task& task, uint16_t* wide) {
  const size_t channels = job.conv.in_channels;
  const int32_t end = task.row_end * extent.out_w, step = PixelsPerPiece(job.conv);
  for (int32_t begin = task.row_begin * extent.out_w; begin < end; begin += step) {
    const int32_t count = end - begin < step ? end - begin : step;
    const size_t out = size_t{1} * begin * job.conv.out_channels;
    WidenBytes(task.x + begin * channels, count * channels, wide);
    AnyRow<kGrouped>(job, wide, count, task.residual ? task.residual + out : nullptr,
                     task.y + out * YBytes(job.conv));
  }
}

template <bool kGrouped>
static void Run(const Conv& conv, const void* packed, const Extent& extent, const Task& task,
                void* scratch) {
  const Layout layout = LayoutOf(conv);
  const Packed view = View(layout, packed);
  const Requant q = MakeRequant(conv);
  const int32_t columns = PaddedColumns(conv, extent);
  const size_t channels = conv.in_channels, pitch = columns * channels;
  const size_t out_pitch = size_t{1} * extent.out_w * conv.out_channels;
  const Job job = {conv, layout, view, q, pitch, conv.stride_w * channels};
  auto* padded = static_cast<uint16_t*>(scratch);
  if (IsPointwise(conv)) return RunPointwise<kGrouped>(job, extent, task, padded);
  const int32_t step = RowsPerPiece(conv, extent);
  for (int32_t begin = task.row_begin; begin < task.row_end; begin += step) {
    const int32_t end = begin + step < task.row_end ? begin + step : task.row_end;
    const Rows rows = RowsFor(conv, begin, end);
    for (int32_t i = 0; i < rows.count; ++i) {
      WidenPaddedRow(conv, extent, task.x, rows.first + i, columns, padded + i * pitch);
    }
    for (int32_t row = begin; row < end; ++row) {
      const size_t out = row * out_pitch;
      AnyRow<kGrouped>(job, padded + size_t{1} * (row - begin) * conv.stride_h * pitch,
                       extent.out_w, task.residual ? task.residual + out : nullptr,
                       task.y + out * YBytes(conv));
    }
  }
}

}  // namespace squeeze::product
