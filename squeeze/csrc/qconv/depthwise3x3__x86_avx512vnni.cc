// Depthwise 3x3, strides 1 and 2, any number of channels and any padding, with VNNI dot products.
//
// Works on 64 consecutive bytes of an output row at a time, whatever pixels and channels they are.
// The three taps of a kernel row are bytes j, j + C and j + 2C of the padded row; unpacks
// interleave them to dwords [left, middle, right, 0], one dot product per kernel row and 16
// results. packs and packus undo the unpacks: no permutation at all. With stride_w 2 a padded row
// is copied as its even pixels followed by its odd ones, and the taps are again at fixed distances.
// With stride_h 1 an interleaved row serves three output rows on the way down a strip of 64 bytes.
#include "qconv/x86_avx512.h"

namespace squeeze::qconv {
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
         conv.stride_w <= 2 && !conv.has_residual;
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

// The copy of one padded row.
struct RowLayout {
  int32_t columns;
  size_t pitch;
  size_t middle, right;  // distance of the other taps from the left one
};

SQUEEZE_INLINE RowLayout RowLayoutOf(const Conv& conv, const Extent& extent) {
  const size_t channels = conv.in_channels;
  const int32_t columns = (extent.out_w - 1) * conv.stride_w + 3;
  if (conv.stride_w == 1) return {columns, columns * channels, channels, 2 * channels};
  return {columns, columns * channels, (columns + 1) / 2 * channels, channels};
}

SQUEEZE_INLINE int32_t RowsPerPiece(const Conv& conv, const Extent& extent) {
  const size_t fit = kScratchTarget / RowLayoutOf(conv, extent).pitch;
  const size_t rows = fit > 3 ? (fit - 3) / conv.stride_h + 1 : 1;
  return rows < static_cast<size_t>(extent.out_h) ? static_cast<int32_t>(rows) : extent.out_h;
}

size_t ScratchBytes(const Conv& conv, const Extent& extent) {
  const RowLayout layout = RowLayoutOf(conv, extent);
  const size_t plain_row = conv.stride_w == 1 ? 0 : layout.pitch;
  return RowsFor(conv, 0, RowsPerPiece(conv, extent)).count * layout.pitch + plain_row + kOverRead;
}

SQUEEZE_INLINE void CopyPixel(uint8_t* to, const uint8_t* from, size_t channels) {
  for (; channels >= 64; channels -= 64, to += 64, from += 64) {
    _mm512_storeu_si512(to, _mm512_loadu_si512(from));
  }
  const __mmask64 mask = (__mmask64{1} << channels) - 1;
  _mm512_mask_storeu_epi8(to, mask, _mm512_maskz_loadu_epi8(mask, from));
}

SQUEEZE_INLINE void SplitPixels(const uint8_t* from, const RowLayout& layout, size_t channels,
                                uint8_t* to) {
  uint8_t* odd = to + layout.middle;
  for (int32_t column = 0; column < layout.columns; column += 2) {
    CopyPixel(to, from, channels);
    to += channels, from += channels;
    if (column + 1 == layout.columns) break;
    CopyPixel(odd, from, channels);
    odd += channels, from += channels;
  }
}

struct Taps {
  __m512i quarter[4];
};

SQUEEZE_INLINE Taps Interleave(const uint8_t* x, const RowLayout& layout) {
  const __m512i left = _mm512_loadu_si512(x), middle = _mm512_loadu_si512(x + layout.middle);
  const __m512i right = _mm512_loadu_si512(x + layout.right), zero = _mm512_setzero_si512();
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
  _mm512_mask_storeu_epi8(y, mask, PackLanes(v[0], v[1], v[2], v[3], q));
}

// One strip of 64 bytes through `count` output rows. `x`: its left tap in the first padded row.
SQUEEZE_INLINE void StripDown(const Conv& conv, const RowLayout& layout, const Strip& strip,
                              const Requant& q, __mmask64 mask, const uint8_t* x, int32_t count,
                              uint8_t* y, size_t out_pitch) {
  __m512i w[3][4];
#pragma GCC unroll 3
  for (int row = 0; row < 3; ++row) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) w[row][i] = _mm512_loadu_si512(strip.w[row][i]);
  }
  const size_t pitch = layout.pitch;
  if (conv.stride_h != 1) {
    for (int32_t row = 0; row < count; ++row, x += conv.stride_h * pitch, y += out_pitch) {
      StoreRow(Interleave(x, layout), Interleave(x + pitch, layout),
               Interleave(x + 2 * pitch, layout), w, strip, q, mask, y);
    }
    return;
  }
  Taps a = Interleave(x, layout), b = Interleave(x + pitch, layout);
  x += 2 * pitch;
  int32_t row = 0;
  for (; row + 3 <= count; row += 3, x += 3 * pitch, y += 3 * out_pitch) {
    const Taps c = Interleave(x, layout);
    StoreRow(a, b, c, w, strip, q, mask, y);
    a = Interleave(x + pitch, layout);
    StoreRow(b, c, a, w, strip, q, mask, y + out_pitch);
    b = Interleave(x + 2 * pitch, layout);
    StoreRow(c, a, b, w, strip, q, mask, y + 2 * out_pitch);
  }
  if (row == count) return;
  const Taps c = Interleave(x, layout);
  StoreRow(a, b, c, w, strip, q, mask, y);
  if (row + 1 == count) return;
  StoreRow(b, c, Interleave(x + pitch, layout), w, strip, q, mask, y + out_pitch);
}

void Run(const Conv& conv, const void* packed, const Extent& extent, const Task& task,
         void* scratch) {
  const auto* strips = static_cast<const Strip*>(packed);
  const int32_t period = Period(conv);
  const Requant q = MakeRequant(conv);
  const RowLayout layout = RowLayoutOf(conv, extent);
  const size_t out_pitch = size_t{1} * extent.out_w * conv.out_channels;
  const int32_t step = RowsPerPiece(conv, extent);
  auto* padded = static_cast<uint8_t*>(scratch);
  uint8_t* plain = padded + RowsFor(conv, 0, step).count * layout.pitch;
  for (int32_t begin = task.row_begin; begin < task.row_end; begin += step) {
    const int32_t end = begin + step < task.row_end ? begin + step : task.row_end;
    const Rows rows = RowsFor(conv, begin, end);
    for (int32_t i = 0; i < rows.count; ++i) {
      uint8_t* to = padded + i * layout.pitch;
      if (conv.stride_w == 1) {
        CopyPaddedRow(conv, extent, task.x, rows.first + i, layout.columns, to);
      } else {
        CopyPaddedRow(conv, extent, task.x, rows.first + i, layout.columns, plain);
        SplitPixels(plain, layout, conv.in_channels, to);
      }
    }
    int32_t s = 0;
    for (size_t at = 0; at < out_pitch; at += kStrip) {
      const size_t left = out_pitch - at;
      const __mmask64 mask = left >= kStrip ? ~__mmask64{0} : (__mmask64{1} << left) - 1;
      StripDown(conv, layout, strips[s], q, mask, padded + at, end - begin,
                task.y + begin * out_pitch + at, out_pitch);
      s = s + 1 == period ? 0 : s + 1;
    }
  }
}

}  // namespace

extern const Kernel depthwise3x3__x86_avx512vnni = {
    "qconv depthwise3x3__x86_avx512vnni",
    Isa::kX86Avx512Vnni,
    500'000,
    Supports,
    PackedBytes,
    PackWeights,
    ScratchBytes,
    Run,
};

}  // namespace squeeze::qconv
