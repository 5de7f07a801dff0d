// Two tiles of 16 pixels times N groups of 16 channels are accumulated at once. While the tile
// units work on a block, the vector units requantise the one before, from a buffer of int32 that is
// two blocks deep. Internal linkage only.
#pragma once

#include "product/x86_amx_records.h"

namespace squeeze::product {
namespace {

// Where the accumulators of a block go. Both tiles hold 16 pixels, the second one may repeat pixels
// of the first.
template <int N>
struct Finished {
  const int32_t* acc;  // [tile of pixels][group][16][16]
  size_t out[2];       // of the first pixel of each tile, into y and residual
  __m512 multiplier[N];
  __mmask16 mask;  // valid channels of the last group
};

// Pack() for the zero point 0, which is that of every layer with a Relu.
SQUEEZE_INLINE __m512i PackAtZero(__m512i a, __m512i b, __m512i c, __m512i d) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i ab = _mm512_packs_epi32(a, b), cd = _mm512_packs_epi32(c, d);
  return _mm512_permutexvar_epi32(order, _mm512_packus_epi16(ab, cd));
}

// 64 results: group `i` of 2 * N * 4.
template <int N, Made kMade, bool kZero>
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
    if constexpr (kMade == Made::kReals) {
      float* to = reinterpret_cast<float*>(y) + out + p * channels + n * kLanes;
      StoreReals(to, masks[n], ScaleToReal(sum, f.multiplier[n]));
    } else if constexpr (kMade == Made::kSums) {
      const uint8_t* from = residual + out + p * channels + n * kLanes;
      v[j] = ScaleAndAdd(sum, f.multiplier[n], _mm_maskz_loadu_epi8(masks[n], from), q);
    } else {
      v[j] = Scale(sum, f.multiplier[n]);
    }
  }
  if constexpr (kMade == Made::kReals) return;
  const __m512i bytes =
      kZero ? PackAtZero(v[0], v[1], v[2], v[3]) : Pack(v[0], v[1], v[2], v[3], q);
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
template <int N, Made kMade, bool kZero, bool kBefore>
SQUEEZE_INLINE void Block(const Job& job, const int32_t (&pixel)[2], int32_t group,
                          const Finished<N>& before, int32_t* acc) {
  constexpr int32_t kGroups = 2 * N * 4;
  const int32_t steps = job.layout.kernel_rows * job.layout.lines;
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
  for (int32_t kh = 0; kh < job.layout.kernel_rows; ++kh) {
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
          Requantise<N, kMade, kZero>(before, done, channels, job.q, job.residual, job.y);
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
template <Made kMade, bool kZero, bool kBefore>
SQUEEZE_INLINE void ResidentBlock(const Job& job, const int32_t (&pixel)[2],
                                  const Finished<1>& before, int32_t* acc) {
  const size_t channels = job.conv.out_channels;
  const auto requantise = [&](int32_t first, int32_t last) __attribute__((always_inline)) {
    if constexpr (kBefore) {
#pragma GCC unroll 3
      for (int32_t i = first; i < last; ++i) {
        Requantise<1, kMade, kZero>(before, i, channels, job.q, job.residual, job.y);
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
template <int N, Made kMade, bool kZero, bool kResident = false>
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
        before.acc ? ResidentBlock<kMade, kZero, true>(job, pixel, before, acc[current])
                   : ResidentBlock<kMade, kZero, false>(job, pixel, before, acc[current]);
      } else if (before.acc) {
        Block<N, kMade, kZero, true>(job, pixel, group, before, acc[current]);
      } else {
        Block<N, kMade, kZero, false>(job, pixel, group, before, acc[current]);
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
    Requantise<N, kMade, kZero>(before, i, channels, job.q, job.residual, job.y);
  }
}

// Fewer than 16 pixels: one tile, requantised pixel by pixel.
template <Made kMade>
void FewPixels(const Job& job, int32_t first, int32_t last) {
  alignas(64) int32_t acc[2 * kTilePixels * kLanes];
  const size_t channels = job.conv.out_channels;
  const Finished<1> nothing = {};
  for (int32_t group = first; group < last; ++group) {
    Block<1, kMade, false, false>(job, {0, 0}, group, nothing, acc);
    const int32_t left = static_cast<int32_t>(channels) - group * kLanes;
    const auto mask = static_cast<__mmask16>(left >= kLanes ? 0xffff : (1 << left) - 1);
    const __m512 multiplier = _mm512_loadu_ps(job.packed.multiplier + group * kLanes);
    for (int32_t pixel = 0; pixel < job.pixels; ++pixel) {
      const size_t out = pixel * channels + group * kLanes;
      const __m512i sum = _mm512_load_si512(acc + pixel * kLanes);
      if constexpr (kMade == Made::kReals) {
        StoreReals(reinterpret_cast<float*>(job.y) + out, mask, ScaleToReal(sum, multiplier));
        continue;
      }
      __m512i v;
      if constexpr (kMade == Made::kSums) {
        v = ScaleAndAdd(sum, multiplier, _mm_maskz_loadu_epi8(mask, job.residual + out), job.q);
      } else {
        v = Scale(sum, multiplier);
      }
      _mm_mask_storeu_epi8(job.y + out, mask, _mm512_castsi512_si128(Pack(v, v, v, v, job.q)));
    }
  }
}

template <Made kMade, bool kZero>
void RunBlocks(const Job& job, int32_t first, int32_t last) {
  if (job.layout.groups == 1 && job.layout.lines == 1 && job.layout.kernel_rows == 3) {
    return Blocks<1, kMade, kZero, true>(job, 0, 1);
  }
  const int32_t pairs = first + (last - first) / 2 * 2;
  if (pairs != first) Blocks<2, kMade, kZero>(job, first, pairs);
  if (pairs != last) Blocks<1, kMade, kZero>(job, pairs, last);
}

template <Made kMade>
void RunPieceOf(const Job& job, int32_t first, int32_t last) {
  if (job.pixels < kTilePixels) return FewPixels<kMade>(job, first, last);
  const bool zero = (kMade == Made::kSums ? job.conv.y_zero_point : job.conv.conv_zero_point) == 0;
  // Real numbers have no zero point.
  if constexpr (kMade == Made::kReals) return RunBlocks<kMade, true>(job, first, last);
  zero ? RunBlocks<kMade, true>(job, first, last) : RunBlocks<kMade, false>(job, first, last);
}

// The groups first .. last - 1 of a piece.
SQUEEZE_INLINE void RunPiece(const Job& job, int32_t first, int32_t last) {
  switch (MadeOf(job.conv)) {
    case Made::kReals:
      return RunPieceOf<Made::kReals>(job, first, last);
    case Made::kSums:
      return RunPieceOf<Made::kSums>(job, first, last);
    default:
      return RunPieceOf<Made::kBytes>(job, first, last);
  }
}

}  // namespace

}  // namespace squeeze::product
