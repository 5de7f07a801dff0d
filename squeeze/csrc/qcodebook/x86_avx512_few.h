// Few pixels against weights that are decoded in registers: a vector of 16 slots of 4 channels is
// multiplied as it is, with 16 bytes of the window in all lanes; every block of weights is decoded
// once for all pixels. Internal linkage only, see rows.h.
#pragma once

#include "qcodebook/x86_avx512_codes.h"

namespace squeeze::qcodebook {
namespace {

constexpr int32_t kFewPixels = 4;

// What stays the same for all blocks of a call.
struct FewJob {
  const Conv& conv;
  const Tables& tables;
  const Coded& view;
  const Requant& q;
};

// All channels of P pixels, whose windows are `windows` [P][blocks][kBlock]; slots without a weight
// are 0.
template <int kBits, int P, Made kMade>
void Few(const FewJob& call, const uint8_t* windows, const uint8_t* residual, uint8_t* y) {
  const size_t window_bytes = size_t{1} * call.tables.blocks * kBlock;
  const size_t channels = call.conv.out_channels;
  const uint8_t* indices = call.view.indices;
  for (int32_t group = 0; group < call.tables.groups; ++group) {
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
    const size_t first = size_t{1} * group * kChannels;
    const size_t left = channels - first;
    const auto mask = static_cast<__mmask16>(left >= kChannels ? 0xffff : (1 << left) - 1);
    const __m512i bias = _mm512_loadu_si512(call.view.bias + first);
    const __m512 multiplier = _mm512_loadu_ps(call.view.multiplier + first);
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      const size_t at = p * channels + first;
      const __m512i total = _mm512_add_epi32(AddParts(sum[p]), bias);
      if constexpr (kMade == Made::kReals) {
        StoreReals(reinterpret_cast<float*>(y) + at, mask, ScaleToReal(total, multiplier));
        continue;
      }
      __m512i v;
      if constexpr (kMade == Made::kSums) {
        v = ScaleAndAdd(total, multiplier, _mm_maskz_loadu_epi8(mask, residual + at), call.q);
      } else {
        v = Scale(total, multiplier);
      }
      StoreBytes(y + at, mask, _mm512_castsi512_si128(Pack(v, v, v, v, call.q)));
    }
  }
}

using FewFunction = void (*)(const FewJob&, const uint8_t*, const uint8_t*, uint8_t*);

template <int kBits, Made kMade>
constexpr FewFunction kFew[kFewPixels] = {
    Few<kBits, 1, kMade>,
    Few<kBits, 2, kMade>,
    Few<kBits, 3, kMade>,
    Few<kBits, 4, kMade>,
};

template <int kBits>
void AnyFew(const FewJob& call, const uint8_t* windows, int32_t pixels, const uint8_t* residual,
            uint8_t* y) {
  const Made made = MadeOf(call.conv);
  const FewFunction* few = made == Made::kReals  ? kFew<kBits, Made::kReals>
                           : made == Made::kSums ? kFew<kBits, Made::kSums>
                                                 : kFew<kBits, Made::kBytes>;
  few[pixels - 1](call, windows, residual, y);
}

}  // namespace

}  // namespace squeeze::qcodebook
