// Depthwise 3x3 with stride 1, any number of channels and any padding, with VNNI dot products.
//
// Works on 64 consecutive bytes of an output row at a time, whatever pixels and channels they are.
// The three taps of a kernel row are bytes j, j + C and j + 2C of the padded row; unpacks
// interleave them to dwords [left, middle, right, 0], one dot product per kernel row and 16
// results. packs and packus undo the unpacks: no permutation at all.
// An interleaved row serves three output rows on the way down a strip of 64 bytes.
#include "product/x86_avx512_rows.h"

namespace squeeze::product {
namespace {

constexpr size_t kScratchTarget = 40 * 1024;
constexpr size_t kOverRead = 64;
constexpr int32_t kStrip = 64;

// Channels repeat after `period` strips.
struct Strip {
  int32_t bias[4][16];
  float multiplier[4][16];
  int8_t w[3][4][64];  // [kernel row][quarter][lane * 4 + tap]
};

SQUEEZE_INLINE int32_t Period(const Conv& conv) {
  int32_t period = conv.in_channels, half = kStrip;
  while (half > 1 && period % 2 == 0) period /= 2, half /= 2;
  return period;
}

bool Supports(const Conv& conv) {
  return conv.groups == conv.in_channels && conv.groups == conv.out_channels &&
         conv.kernel_h == 3 && conv.kernel_w == 3 && conv.dilation_h == 1 && conv.dilation_w == 1 &&
         conv.stride_h == 1 && conv.stride_w == 1 && !conv.has_residual && !conv.has_real_y;
}

size_t PackedBytes(const Conv& conv) { return Period(conv) * sizeof(Strip); }

void PackWeights(const Conv& conv, const Weights& weights, void* packed) {
  auto* strips = static_cast<Strip*>(packed);
  const int32_t period = Period(conv);
  for (int32_t s = 0; s < period; ++s) {
    for (int quarter = 0; quarter < 4; ++quarter) {
      for (int lane = 0; lane < 16; ++lane) {
        const int32_t byte =
            16 * (lane / 4) + 4 * quarter + lane % 4;  // where unpacks take it from
        const int32_t channel = (s * kStrip + byte) % conv.in_channels;
        strips[s].bias[quarter][lane] = FoldedBias(conv, weights, channel);
        strips[s].multiplier[quarter][lane] = weights.multiplier[channel];
        for (int row = 0; row < 3; ++row) {
          for (int tap = 0; tap < 3; ++tap) {
            strips[s].w[row][quarter][lane * 4 + tap] = weights.w[channel * 9 + row * 3 + tap];
          }
        }
      }
    }
  }
}

// Bytes of a padded row.
SQUEEZE_INLINE size_t PitchOf(const Conv& conv, const Extent& extent) {
  return size_t{1} * (extent.out_w + 2) * conv.in_channels;
}

SQUEEZE_INLINE int32_t RowsPerPiece(const Conv& conv, const Extent& extent) {
  const size_t fit = kScratchTarget / PitchOf(conv, extent);
  const size_t rows = fit > 3 ? fit - 2 : 1;
  return rows < static_cast<size_t>(extent.out_h) ? static_cast<int32_t>(rows) : extent.out_h;
}

size_t ScratchBytes(const Conv& conv, const Extent& extent) {
  return (RowsPerPiece(conv, extent) + 2) * PitchOf(conv, extent) + kOverRead;
}

struct Taps {
  __m512i quarter[4];
};

SQUEEZE_INLINE Taps Interleave(const uint8_t* x, size_t channels) {
  const __m512i left = _mm512_loadu_si512(x), middle = _mm512_loadu_si512(x + channels);
  const __m512i right = _mm512_loadu_si512(x + 2 * channels), zero = _mm512_setzero_si512();
  const __m512i low = _mm512_unpacklo_epi8(left, middle);
  const __m512i high = _mm512_unpackhi_epi8(left, middle);
  const __m512i right_low = _mm512_unpacklo_epi8(right, zero);
  const __m512i right_high = _mm512_unpackhi_epi8(right, zero);
  return {{_mm512_unpacklo_epi16(low, right_low), _mm512_unpackhi_epi16(low, right_low),
           _mm512_unpacklo_epi16(high, right_high), _mm512_unpackhi_epi16(high, right_high)}};
}

SQUEEZE_INLINE void StoreRow(const Taps& a, const Taps& b, const Taps& c, const __m512i (&w)[3][4],
                             const Strip& strip, const Requant& q, __mmask64 mask, uint8_t* y) {
  __m512i v[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    __m512i acc = _mm512_loadu_si512(strip.bias[i]);
    Dot4(acc, a.quarter[i], w[0][i]);
    Dot4(acc, b.quarter[i], w[1][i]);
    Dot4(acc, c.quarter[i], w[2][i]);
    v[i] = Scale(acc, _mm512_loadu_ps(strip.multiplier[i]));
  }
  StoreBytes(y, mask, PackLanes(v[0], v[1], v[2], v[3], q));
}

// One strip of 64 bytes through `count` output rows. `x`: its left tap in the first padded row.
SQUEEZE_INLINE void StripDown(size_t channels, size_t pitch, const Strip& strip, const Requant& q,
                              __mmask64 mask, const uint8_t* x, int32_t count, uint8_t* y,
                              size_t out_pitch) {
  __m512i w[3][4];
#pragma GCC unroll 3
  for (int row = 0; row < 3; ++row) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) w[row][i] = _mm512_loadu_si512(strip.w[row][i]);
  }
  Taps a = Interleave(x, channels), b = Interleave(x + pitch, channels);
  x += 2 * pitch;
  int32_t row = 0;
  for (; row + 3 <= count; row += 3, x += 3 * pitch, y += 3 * out_pitch) {
    const Taps c = Interleave(x, channels);
    StoreRow(a, b, c, w, strip, q, mask, y);
    a = Interleave(x + pitch, channels);
    StoreRow(b, c, a, w, strip, q, mask, y + out_pitch);
    b = Interleave(x + 2 * pitch, channels);
    StoreRow(c, a, b, w, strip, q, mask, y + 2 * out_pitch);
  }
  if (row == count) return;
  const Taps c = Interleave(x, channels);
  StoreRow(a, b, c, w, strip, q, mask, y);
  if (row + 1 == count) return;
  StoreRow(b, c, Interleave(x + pitch, channels), w, strip, q, mask, y + out_pitch);
}

void Run(const Conv& conv, const void* packed, const Extent& extent, const Task& task,
         void* scratch) {
  const auto* strips = static_cast<const Strip*>(packed);
  const int32_t period = Period(conv);
  const Requant q = MakeRequant(conv);
  const size_t pitch = PitchOf(conv, extent);
  const size_t out_pitch = size_t{1} * extent.out_w * conv.out_channels;
  const int32_t step = RowsPerPiece(conv, extent);
  auto* padded = static_cast<uint8_t*>(scratch);
  for (int32_t begin = task.row_begin; begin < task.row_end; begin += step) {
    const int32_t end = begin + step < task.row_end ? begin + step : task.row_end;
    for (int32_t row = begin; row < end + 2; ++row) {
      LayPaddedRow(conv, extent, task.x, row, extent.out_w + 2, padded + (row - begin) * pitch);
    }
    int32_t s = 0;
    for (size_t at = 0; at < out_pitch; at += kStrip) {
      const __mmask64 mask = FirstBytes(out_pitch - at);
      StripDown(conv.in_channels, pitch, strips[s], q, mask, padded + at, end - begin,
                task.y + begin * out_pitch + at, out_pitch);
      s = s + 1 == period ? 0 : s + 1;
    }
  }
}

}  // namespace

extern const Kernel depthwise3x3__x86_avx512vnni = {
    "product depthwise3x3__x86_avx512vnni",
    Isa::kX86Avx512Vnni,
    500'000,
    Supports,
    PackedBytes,
    PackWeights,
    ScratchBytes,
    Run,
};

}  // namespace squeeze::product
