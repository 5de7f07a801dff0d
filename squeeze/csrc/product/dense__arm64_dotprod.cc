// Dense convolution with the s8 dot products of Armv8.2: four bytes of a pixel meet the weights of
// four channels at once.
#include "product/arm64_dense.h"

namespace squeeze::product {
namespace {

struct QuadDot {
  static constexpr int kStep = 4;
  static constexpr int kBias = 128;  // both sides of sdot are signed

  template <int kLane, int P, int V>
  SQUEEZE_INLINE void LaneStep(int32x4_t (&sums)[P][V], const int8x16_t (&x)[P], const int8_t* w) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const int8x16_t wv = vld1q_s8(w + (kLane * V + v) * 16);
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) sums[p][v] = vdotq_laneq_s32(sums[p][v], wv, x[p], kLane);
    }
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
      int8x16_t x[P];
      int32_t k = 0;
      for (; k + 16 <= window.run_bytes; k += 16, w += V * 64) {
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) {
          x[p] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(run + p * window.pixel_step + k), sign));
        }
        LaneStep<0>(sums, x, w);
        LaneStep<1>(sums, x, w);
        LaneStep<2>(sums, x, w);
        LaneStep<3>(sums, x, w);
      }
      for (; k < window.run_bytes; k += kStep, w += V * 16) {
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) {
          uint32_t bytes;
          memcpy(&bytes, run + p * window.pixel_step + k, sizeof bytes);
          x[p] = vreinterpretq_s8_u8(veorq_u8(vreinterpretq_u8_u32(vdupq_n_u32(bytes)), sign));
        }
        LaneStep<0>(sums, x, w);
      }
    });
  }
};

}  // namespace

extern const Kernel dense__arm64_dotprod = {
    "product dense__arm64_dotprod", Isa::kArm64Dotprod,          1'000'000,
    Dense<QuadDot>::Supports,       Dense<QuadDot>::PackedBytes, Dense<QuadDot>::Pack,
    Dense<QuadDot>::ScratchBytes,   Dense<QuadDot>::Run,
};

}  // namespace squeeze::product
