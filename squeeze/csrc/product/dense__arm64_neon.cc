// Dense convolution on every 64-bit Arm: 8-bit products in 16 bits, added by pairs to 32. A pair of
// two products of -128 does not fit into 16 bits, so products are never added before they widen.
#include "product/arm64_dense.h"

namespace squeeze::product {
namespace {

struct PairDot {
  static constexpr int kStep = 2;
  static constexpr int kBias = 128;

  // One step: `pair` holds the two bytes of every pixel eight times.
  template <int P, int V>
  SQUEEZE_INLINE void Step(int32x4_t (&sums)[P][V], const int8x16_t (&pair)[P], const int8_t* w) {
    int8x16_t wv[V / 2];
#pragma GCC unroll 2
    for (int v = 0; v < V / 2; ++v) wv[v] = vld1q_s8(w + v * 16);
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 2
      for (int v = 0; v < V / 2; ++v) {
        sums[p][2 * v] =
            vpadalq_s16(sums[p][2 * v], vmull_s8(vget_low_s8(wv[v]), vget_low_s8(pair[p])));
        sums[p][2 * v + 1] = vpadalq_s16(sums[p][2 * v + 1], vmull_high_s8(wv[v], pair[p]));
      }
    }
  }

  template <int kLane, int P, int V>
  SQUEEZE_INLINE void LaneStep(int32x4_t (&sums)[P][V], const int8x16_t (&x)[P], const int8_t* w) {
    int8x16_t pair[P];
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
      pair[p] = vreinterpretq_s8_s16(vdupq_laneq_s16(vreinterpretq_s16_s8(x[p]), kLane));
    }
    Step(sums, pair, w + kLane * V * 8);
  }

  template <int P, int V>
  SQUEEZE_INLINE void Add(const Window& window, int32x4_t (&sums)[P][V]) {
    const uint8x16_t sign = vdupq_n_u8(0x80);
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) sums[p][v] = vld1q_s32(window.bias + v * 4);
    }
    ForEachRun(window, V * 4, [&](const uint8_t* run, const int8_t* w) {
      int32_t k = 0;
      for (; k + 16 <= window.run_bytes; k += 16, w += V * 64) {
        int8x16_t x[P];
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) {
          x[p] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(run + p * window.pixel_step + k), sign));
        }
        LaneStep<0>(sums, x, w);
        LaneStep<1>(sums, x, w);
        LaneStep<2>(sums, x, w);
        LaneStep<3>(sums, x, w);
        LaneStep<4>(sums, x, w);
        LaneStep<5>(sums, x, w);
        LaneStep<6>(sums, x, w);
        LaneStep<7>(sums, x, w);
      }
      for (; k < window.run_bytes; k += kStep, w += V * 8) {
        int8x16_t pair[P];
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) {
          uint16_t bytes;
          memcpy(&bytes, run + p * window.pixel_step + k, sizeof bytes);
          pair[p] = vreinterpretq_s8_u8(veorq_u8(vreinterpretq_u8_u16(vdupq_n_u16(bytes)), sign));
        }
        Step(sums, pair, w);
      }
    });
  }
};

}  // namespace

extern const Kernel dense__arm64_neon = {
    "product dense__arm64_neon",
    Isa::kArm64Neon,
    300'000,
    Dense<PairDot>::Supports,
    Dense<PairDot>::PackedBytes,
    Dense<PairDot>::Pack,
    Dense<PairDot>::ScratchBytes,
    Dense<PairDot>::Run,
};

}  // namespace squeeze::product
