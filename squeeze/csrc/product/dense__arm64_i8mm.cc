// Dense convolution with the matrix products of Armv8.6: eight bytes of two pixels meet the weights
// of two channels, u8 times s8 as they are.
#include "product/arm64_dense.h"

namespace squeeze::product {
namespace {

struct MatrixDot {
  static constexpr int kStep = 8;
  static constexpr int kBias = 0;

  // One step: `x` holds eight bytes of one pixel and eight of the next.
  template <int kPairs, int kColumns>
  SQUEEZE_INLINE void Step(int32x4_t (&acc)[kPairs][kColumns], const uint8x16_t (&x)[kPairs],
                           const int8_t* w) {
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) {
      const int8x16_t wv = vld1q_s8(w + c * 16);
#pragma GCC unroll 4
      for (int i = 0; i < kPairs; ++i) acc[i][c] = vusmmlaq_s32(acc[i][c], x[i], wv);
    }
  }

  template <int P, int V>
  SQUEEZE_INLINE void Add(const Window& window, int32x4_t (&sums)[P][V]) {
    constexpr int kPairs = (P + 1) / 2, kColumns = V * 2;
    int32x4_t acc[kPairs][kColumns];  // [pixels 2 i and 2 i + 1][channels 2 c and 2 c + 1]
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) {
      const int32x2_t bias = vld1_s32(window.bias + c * 2);
#pragma GCC unroll 4
      for (int i = 0; i < kPairs; ++i) acc[i][c] = vcombine_s32(bias, bias);
    }
    const size_t second = P == 1 ? 0 : window.pixel_step;  // a single pixel is done twice
    ForEachRun(window, V * 4, [&](const uint8_t* run, const int8_t* w) {
      int32_t k = 0;
      for (; k + 16 <= window.run_bytes; k += 16, w += V * 64) {
        uint8x16_t low[kPairs], high[kPairs];
#pragma GCC unroll 4
        for (int i = 0; i < kPairs; ++i) {
          const uint8_t* pixel = run + 2 * i * window.pixel_step + k;
          const uint64x2_t a = vreinterpretq_u64_u8(vld1q_u8(pixel));
          const uint64x2_t b = vreinterpretq_u64_u8(vld1q_u8(pixel + second));
          low[i] = vreinterpretq_u8_u64(vzip1q_u64(a, b));
          high[i] = vreinterpretq_u8_u64(vzip2q_u64(a, b));
        }
        Step(acc, low, w);
        Step(acc, high, w + V * 32);
      }
      if (k < window.run_bytes) {
        uint8x16_t x[kPairs];
#pragma GCC unroll 4
        for (int i = 0; i < kPairs; ++i) {
          const uint8_t* pixel = run + 2 * i * window.pixel_step + k;
          x[i] = vcombine_u8(vld1_u8(pixel), vld1_u8(pixel + second));
        }
        Step(acc, x, w);
      }
    });
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const int64x2_t a = vreinterpretq_s64_s32(acc[p / 2][2 * v]);
        const int64x2_t b = vreinterpretq_s64_s32(acc[p / 2][2 * v + 1]);
        sums[p][v] = vreinterpretq_s32_s64(p % 2 ? vzip2q_s64(a, b) : vzip1q_s64(a, b));
      }
    }
  }
};

}  // namespace

extern const Kernel dense__arm64_i8mm = {
    "product dense__arm64_i8mm",
    Isa::kArm64I8mm,
    2'000'000,
    Dense<MatrixDot>::Supports,
    Dense<MatrixDot>::PackedBytes,
    Dense<MatrixDot>::Pack,
    Dense<MatrixDot>::ScratchBytes,
    Dense<MatrixDot>::Run,
};

}  // namespace squeeze::product
