// Records that hold a whole window: for the first layer of a network, with its few channels.
// Internal linkage only, see x86_avx512.h.
//
// A record is the kernel_h * kernel_w * channels bytes of a window in one line. Some neighbouring
// pixels at a time: the bytes of each kernel row that they read are loaded side by side into one
// register, and every pixel picks its own by one byte permutation.
#pragma once

#include "product/x86_amx_records.h"

namespace squeeze::product {
namespace {

// How pixels are cut out of one register.
struct Cut {
  int32_t pixels;     // at a time, 1 to 4
  int32_t slot;       // bytes of the register for one kernel row
  int32_t step;       // bytes from a pixel's window to the next
  int32_t row_bytes;  // of a kernel row that `pixels` windows read, at most `slot`
  alignas(kLine) uint8_t from[4][kLine];  // byte of the register for each byte of a record
};

SQUEEZE_INLINE void MakeCut(const Conv& conv, Cut* cut) {
  const int32_t run = conv.in_channels * conv.kernel_w;
  cut->slot = kLine / conv.kernel_h;
  cut->step = conv.stride_w * conv.in_channels;
  cut->pixels = (cut->slot - run) / cut->step + 1;
  if (cut->pixels > 4) cut->pixels = 4;
  cut->row_bytes = (cut->pixels - 1) * cut->step + run;
  memset(cut->from, 0, sizeof cut->from);
  for (int32_t p = 0; p < cut->pixels; ++p) {
    for (int32_t kh = 0; kh < conv.kernel_h; ++kh) {
      for (int32_t i = 0; i < run; ++i) {
        cut->from[p][kh * run + i] = static_cast<uint8_t>(kh * cut->slot + p * cut->step + i);
      }
    }
  }
}

// `bits` ones from bit `first` on.
SQUEEZE_INLINE __mmask64 Ones(int64_t first, int64_t bits) {
  if (bits <= 0) return 0;
  return (bits >= 64 ? ~__mmask64{0} : (__mmask64{1} << bits) - 1) << first;
}

// Records of output row `row`, all columns.
SQUEEZE_INLINE void ExpandJoinedRow(const Conv& conv, const Extent& extent, const Cut& cut,
                                    const uint8_t* x, int32_t row, uint8_t* to) {
  const __m512i outside = _mm512_set1_epi8(static_cast<char>(conv.x_zero_point));
  const int64_t row_bytes = int64_t{extent.in_w} * conv.in_channels;
  const int64_t padding = int64_t{conv.pad_left} * conv.in_channels;
  for (int32_t column = 0; column < extent.out_w; column += cut.pixels) {
    const int64_t begin = int64_t{column} * cut.step - padding;  // in the row, may lie before it
    const int64_t first = begin < 0 ? -begin : 0;
    int64_t last = row_bytes - begin;
    if (last > cut.row_bytes) last = cut.row_bytes;
    __m512i v = outside;
    for (int32_t kh = 0; kh < conv.kernel_h; ++kh) {
      const int64_t from_row = int64_t{row} * conv.stride_h + kh - conv.pad_top;
      if (from_row < 0 || from_row >= extent.in_h || first >= last) continue;
      const uint8_t* from = x + from_row * row_bytes + begin - kh * cut.slot;
      v = _mm512_mask_loadu_epi8(v, Ones(kh * cut.slot + first, last - first), from);
    }
    const int32_t left = extent.out_w - column;
    for (int32_t p = 0; p < cut.pixels && p < left; ++p, to += kLine) {
      _mm512_store_si512(to, _mm512_permutexvar_epi8(_mm512_load_si512(cut.from[p]), v));
    }
  }
}

}  // namespace

}  // namespace squeeze::product
