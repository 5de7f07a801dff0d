// Blocks of a dense convolution with VNNI dot products, any kernel size, stride, dilation and
// padding; for weights that are stored and for weights that are decoded. Internal linkage only, see
// rows.h.
//
// A block of P pixels x G groups of 16 output channels stays in registers. An input of 4 bytes is
// broadcast to all lanes (load port only) and meets one vector of weights per group. With
// dilation_w 1 the kw * channels bytes of a kernel row lie side by side, so they are one run; else
// every tap is a run. Runs are filled up to 4 bytes with zero weights, so the input may be read up
// to 3 bytes beyond a run.
#pragma once

#include "product/x86_avx512_rows.h"

namespace squeeze::product {

constexpr int32_t kLanes = 16;
// Padded rows are copied in pieces of about this size: they stay in the first-level cache.
constexpr size_t kScratchTarget = 40 * 1024;
constexpr size_t kOverRead = 64;

struct Layout {
  int32_t groups;        // of 16 output channels
  int32_t runs_per_row;  // of the kernel
  int32_t run_bytes;     // a multiple of 4
  size_t group_bytes;    // weights of one group: [kh][run][run_bytes / 4][16][4]
};

SQUEEZE_INLINE Layout LayoutOf(const Conv& conv) {
  const bool joined = conv.dilation_w == 1;
  Layout layout;
  layout.groups = (conv.out_channels + kLanes - 1) / kLanes;
  layout.runs_per_row = joined ? 1 : conv.kernel_w;
  layout.run_bytes = RoundUp(conv.in_channels * (joined ? conv.kernel_w : 1), 4);
  layout.group_bytes = size_t{1} * conv.kernel_h * layout.runs_per_row * layout.run_bytes * kLanes;
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

// Without padding, and with whole quads, runs are read straight from the image.
SQUEEZE_INLINE bool ReadsImage(const Conv& conv) {
  const int32_t run = conv.in_channels * (conv.dilation_w == 1 ? conv.kernel_w : 1);
  return !IsPadded(conv) && run % 4 == 0;
}

// Output rows whose padded input rows are copied at once.
SQUEEZE_INLINE int32_t RowsPerPiece(const Conv& conv, const Extent& extent) {
  const size_t pitch = size_t{1} * PaddedColumns(conv, extent) * conv.in_channels;
  const size_t fit = kScratchTarget / (pitch ? pitch : 1);
  const size_t kernel_rows = (conv.kernel_h - 1) * conv.dilation_h + 1;
  const size_t rows = fit > kernel_rows ? (fit - kernel_rows) / conv.stride_h + 1 : 1;
  return rows < static_cast<size_t>(extent.out_h) ? static_cast<int32_t>(rows) : extent.out_h;
}

// What stays the same for all blocks of a call.
struct Job {
  const Conv& conv;
  const Layout& layout;
  const Packed& packed;
  const Requant& q;
  size_t pitch;       // bytes from a row of the (padded) image to the next
  size_t pixel_step;  // bytes from the window of one output to that of the next
};

template <Made kMade>
SQUEEZE_INLINE __m512i Result(__m512i acc, __m512 multiplier, const uint8_t* residual,
                              __mmask16 mask, const Requant& q) {
  if constexpr (kMade == Made::kSums) {
    return ScaleAndAdd(acc, multiplier, _mm_maskz_loadu_epi8(mask, residual), q);
  } else {
    return Scale(acc, multiplier);
  }
}

// P pixels from window `x` on, channels of group `group` .. group + G - 1. `mask`: valid channels
// of the last group. `ahead`: what the next block of channels reads, as much as this one; it comes
// from far where the layers of a network are more than a cache holds.
template <int P, int G, Made kMade>
static void Block(const Job& job, const uint8_t* x, int32_t group, __mmask16 mask,
                  const uint8_t* ahead, const uint8_t* residual, uint8_t* y) {
  __m512i acc[P][G];
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 2
    for (int g = 0; g < G; ++g) {
      acc[p][g] = _mm512_loadu_si512(job.packed.bias + (group + g) * kLanes);
    }
  }
  const size_t group_bytes = job.layout.group_bytes;
  const int8_t* w = job.packed.w + group * group_bytes;
  const int32_t run_bytes = job.layout.run_bytes;
  for (int32_t kh = 0; kh < job.conv.kernel_h; ++kh) {
    const uint8_t* run = x + kh * job.conv.dilation_h * job.pitch;
    for (int32_t r = 0; r < job.layout.runs_per_row; ++r) {
      for (int32_t k = 0; k < run_bytes; k += 4, w += 64) {
        __m512i wv[G];
#pragma GCC unroll 2
        for (int g = 0; g < G; ++g, ahead += 64) {
          wv[g] = _mm512_loadu_si512(w + g * group_bytes);
          _mm_prefetch(reinterpret_cast<const char*>(ahead), _MM_HINT_T1);
        }
#pragma GCC unroll 16
        for (int p = 0; p < P; ++p) {
          int32_t quad;
          memcpy(&quad, run + p * job.pixel_step + k, 4);
          const __m512i xv = _mm512_set1_epi32(quad);
#pragma GCC unroll 2
          for (int g = 0; g < G; ++g) Dot4(acc[p][g], xv, wv[g]);
        }
      }
      run += size_t{1} * job.conv.dilation_w * job.conv.in_channels;
    }
  }
  __m512 multiplier[G];
#pragma GCC unroll 2
  for (int g = 0; g < G; ++g) {
    multiplier[g] = _mm512_loadu_ps(job.packed.multiplier + (group + g) * kLanes);
  }
  const size_t channels = job.conv.out_channels;
  if constexpr (kMade == Made::kReals) {
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 2
      for (int g = 0; g < G; ++g) {
        float* to = reinterpret_cast<float*>(y) + p * channels + g * kLanes;
        StoreReals(to, g + 1 < G ? 0xffff : mask, ScaleToReal(acc[p][g], multiplier[g]));
      }
    }
    return;
  }
  // 4 vectors of results at a time: 2 or 4 pixels.
  constexpr int kStep = 4 / G;
#pragma GCC unroll 16
  for (int p = 0; p < P; p += kStep) {
    __m512i v[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const int at = p + i / G < P ? p + i / G : P - 1;
      v[i] = Result<kMade>(acc[at][i % G], multiplier[i % G],
                           residual + at * channels + i % G * kLanes, mask, job.q);
    }
    const __m512i bytes = Pack(v[0], v[1], v[2], v[3], job.q);
    uint8_t* to = y + p * channels;
    if constexpr (G == 2) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(bytes));
      if (p + 1 < P) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + channels),
                            _mm512_extracti64x4_epi64(bytes, 1));
      }
    } else if (p + kStep <= P && channels == kLanes) {
      _mm512_storeu_si512(to, bytes);
    } else if (p + kStep <= P && channels == kLanes / 2) {  // 8 bytes of each quarter
      const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 0, 2, 4, 6);
      const __m512i halves = _mm512_permutexvar_epi64(order, bytes);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(halves));
    } else {
      StoreBytes(to, mask, _mm512_castsi512_si128(bytes));
      if (p + 1 < P) StoreBytes(to + channels, mask, _mm512_extracti32x4_epi32(bytes, 1));
      if (p + 2 < P) StoreBytes(to + 2 * channels, mask, _mm512_extracti32x4_epi32(bytes, 2));
      if (p + 3 < P) StoreBytes(to + 3 * channels, mask, _mm512_extracti32x4_epi32(bytes, 3));
    }
  }
}

using BlockFunction = void (*)(const Job&, const uint8_t*, int32_t, __mmask16, const uint8_t*,
                               const uint8_t*, uint8_t*);

constexpr int32_t kMostPixels[] = {16, 12};  // of blocks of one and two groups

template <Made kMade>
static constexpr BlockFunction kBlocks1[] = {
    Block<1, 1, kMade>,  Block<2, 1, kMade>,  Block<3, 1, kMade>,  Block<4, 1, kMade>,
    Block<5, 1, kMade>,  Block<6, 1, kMade>,  Block<7, 1, kMade>,  Block<8, 1, kMade>,
    Block<9, 1, kMade>,  Block<10, 1, kMade>, Block<11, 1, kMade>, Block<12, 1, kMade>,
    Block<13, 1, kMade>, Block<14, 1, kMade>, Block<15, 1, kMade>, Block<16, 1, kMade>,
};

template <Made kMade>
static constexpr BlockFunction kBlocks2[] = {
    Block<1, 2, kMade>, Block<2, 2, kMade>,  Block<3, 2, kMade>,  Block<4, 2, kMade>,
    Block<5, 2, kMade>, Block<6, 2, kMade>,  Block<7, 2, kMade>,  Block<8, 2, kMade>,
    Block<9, 2, kMade>, Block<10, 2, kMade>, Block<11, 2, kMade>, Block<12, 2, kMade>,
};

template <int G>
SQUEEZE_INLINE const BlockFunction* BlocksFor(const Conv& conv) {
  switch (MadeOf(conv)) {
    case Made::kReals:
      return G == 2 ? kBlocks2<Made::kReals> : kBlocks1<Made::kReals>;
    case Made::kSums:
      return G == 2 ? kBlocks2<Made::kSums> : kBlocks1<Made::kSums>;
    default:
      return G == 2 ? kBlocks2<Made::kBytes> : kBlocks1<Made::kBytes>;
  }
}

// One row of `count` pixels, one or two `groups`, by blocks of about equal width. Of the last group
// `left` channels or more are in use; residual and y begin at channel 0 of the first.
// `ahead`: as above.
static void RowOfGroups(const Job& job, const uint8_t* x, int32_t group, int32_t groups,
                        int32_t left, int32_t count, const uint8_t* ahead, const uint8_t* residual,
                        uint8_t* y) {
  const auto mask = static_cast<__mmask16>(left >= kLanes ? 0xffff : (1 << left) - 1);
  const BlockFunction* of_width = groups == 2 ? BlocksFor<2>(job.conv) : BlocksFor<1>(job.conv);
  const int32_t most = kMostPixels[groups - 1];
  int32_t blocks = (count + most - 1) / most;
  for (int32_t done = 0; blocks > 0; --blocks) {
    const int32_t width = (count - done + blocks - 1) / blocks;
    const size_t out = size_t{1} * done * job.conv.out_channels;
    of_width[width - 1](job, x + done * job.pixel_step, group, mask, ahead,
                        residual ? residual + out : nullptr, y + out * YBytes(job.conv));
    done += width;
  }
}

}  // namespace squeeze::product
