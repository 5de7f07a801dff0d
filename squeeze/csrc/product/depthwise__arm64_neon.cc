// Depthwise convolution on every 64-bit Arm: any kernel size, stride, dilation and padding.
//
// A block of P pixels x 4 * V channels stays in registers. Images and weights are widened to 16
// bits, so a tap is one multiply-add per four results. The weights of a tap are read once per
// block.
#include "product/arm64.h"

namespace squeeze::product {
namespace {

struct Packed {
  const int32_t* bias;      // [groups * 16]
  const float* multiplier;  // [groups * 16]
  const int16_t* w;         // [groups][kh][kw][16]
};

SQUEEZE_INLINE Packed View(const Conv& conv, const void* packed) {
  const int32_t channels = GroupCount(conv.out_channels) * kGroup;
  const auto* bias = static_cast<const int32_t*>(packed);
  const auto* multiplier = reinterpret_cast<const float*>(bias + channels);
  return {bias, multiplier, reinterpret_cast<const int16_t*>(multiplier + channels)};
}

bool Supports(const Conv& conv) {
  return conv.groups == conv.in_channels && conv.groups == conv.out_channels && !conv.has_real_y;
}

size_t PackedBytes(const Conv& conv) {
  const size_t taps = size_t{1} * conv.kernel_h * conv.kernel_w;
  return GroupCount(conv.out_channels) * kGroup * (8 + taps * sizeof(int16_t));
}

void PackWeights(const Conv& conv, const Weights& weights, void* packed) {
  const Packed view = View(conv, packed);
  const size_t taps = size_t{1} * conv.kernel_h * conv.kernel_w;
  for (int32_t o = 0; o < conv.out_channels; ++o) {
    const_cast<int32_t*>(view.bias)[o] = FoldedBias(conv, weights, o);
    const_cast<float*>(view.multiplier)[o] = weights.multiplier[o];
    auto* to = const_cast<int16_t*>(view.w) + o / kGroup * taps * kGroup + o % kGroup;
    for (size_t tap = 0; tap < taps; ++tap) to[tap * kGroup] = weights.w[o * taps + tap];
  }
}

// Eight channels are read at once.
SQUEEZE_INLINE bool ReadsImage(const Conv& conv) {
  return !IsPadded(conv) && conv.in_channels % 8 == 0;
}

size_t ScratchBytes(const Conv& conv, const Extent& extent) {
  return ReadsImage(conv) ? 0 : RowsScratchBytes(conv, extent);
}

// A row of pixels, and what stays the same for it. Pointers are those of a group's first channel.
struct Row {
  const Conv& conv;
  const Requant& q;
  int32_t count;  // of pixels
  size_t pixel_step, tap_step, row_step;
  const uint8_t* x;  // window of the first pixel
  const int32_t* bias;
  const float* multiplier;
  const int16_t* w;
  const uint8_t* residual;
  uint8_t* y;
};

template <int P, int V>
SQUEEZE_INLINE void Add(const Row& row, const uint8_t* x, int32x4_t (&sums)[P][V]) {
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sums[p][v] = vld1q_s32(row.bias + v * 4);
  }
  const int16_t* w = row.w;
  for (int32_t kh = 0; kh < row.conv.kernel_h; ++kh) {
    const uint8_t* tap = x + kh * row.row_step;
    for (int32_t kw = 0; kw < row.conv.kernel_w; ++kw, tap += row.tap_step, w += kGroup) {
      int16x8_t wv[V / 2];
#pragma GCC unroll 2
      for (int v = 0; v < V / 2; ++v) wv[v] = vld1q_s16(w + v * 8);
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
#pragma GCC unroll 2
        for (int v = 0; v < V / 2; ++v) {
          const int16x8_t xv =
              vreinterpretq_s16_u16(vmovl_u8(vld1_u8(tap + p * row.pixel_step + v * 8)));
          sums[p][2 * v] = vmlal_s16(sums[p][2 * v], vget_low_s16(xv), vget_low_s16(wv[v]));
          sums[p][2 * v + 1] = vmlal_high_s16(sums[p][2 * v + 1], xv, wv[v]);
        }
      }
    }
  }
}

// Pixels `done` .. by blocks of P; the last block is moved back to end with the row, and does a few
// again. `valid`: channels of the group that exist.
template <int P, int V, bool kResidual>
SQUEEZE_INLINE int32_t Blocks(const Row& row, int32_t done, int32_t valid) {
  const size_t channels = row.conv.out_channels;
  while (done < row.count && row.count >= P) {
    const int32_t at = done + P <= row.count ? done : row.count - P;
    int32x4_t sums[P][V];
    Add(row, row.x + at * row.pixel_step, sums);
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
      const size_t out = (at + p) * channels;
      StorePixel<V, kResidual ? Made::kSums : Made::kBytes>(
          sums[p], row.multiplier, row.q, valid, kResidual ? row.residual + out : nullptr,
          row.y + out);
    }
    done = at + P;
  }
  return done;
}

template <bool kResidual>
void Pixels(Row row) {
  const int32_t channels = row.conv.out_channels;
  for (int32_t first = 0; first < channels; first += kGroup) {
    const int32_t valid = channels - first;
    if (valid > 8) {
      const int32_t done = Blocks<4, 4, kResidual>(row, 0, valid);
      Blocks<1, 4, kResidual>(row, done, valid);
    } else {
      int32_t done = Blocks<8, 2, kResidual>(row, 0, valid);
      done = Blocks<4, 2, kResidual>(row, done, valid);
      Blocks<1, 2, kResidual>(row, done, valid);
    }
    row.x += kGroup, row.y += kGroup, row.bias += kGroup, row.multiplier += kGroup;
    row.w += row.conv.kernel_h * row.conv.kernel_w * kGroup;
    if (kResidual) row.residual += kGroup;
  }
}

void Run(const Conv& conv, const void* packed, const Extent& extent, const Task& task,
         void* scratch) {
  const Packed view = View(conv, packed);
  const Requant q = MakeRequant(conv);
  const size_t channels = conv.in_channels;
  WalkRows(conv, extent, task, ReadsImage(conv), scratch,
           [&](const uint8_t* x, size_t pitch, int32_t y_row, int32_t count) {
             const size_t out = size_t{1} * y_row * extent.out_w * channels;
             const Row row = {conv,
                              q,
                              count,
                              conv.stride_w * channels,
                              conv.dilation_w * channels,
                              conv.dilation_h * pitch,
                              x,
                              view.bias,
                              view.multiplier,
                              view.w,
                              task.residual ? task.residual + out : nullptr,
                              task.y + out};
             task.residual ? Pixels<true>(row) : Pixels<false>(row);
           });
}

}  // namespace

extern const Kernel depthwise__arm64_neon = {
    "product depthwise__arm64_neon",
    Isa::kArm64Neon,
    200'000,
    Supports,
    PackedBytes,
    PackWeights,
    ScratchBytes,
    Run,
};

}  // namespace squeeze::product
