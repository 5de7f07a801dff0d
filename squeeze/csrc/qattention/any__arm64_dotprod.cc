// Four products of signed bytes per lane and instruction. The left operand is unsigned, so its sign
// is turned, and 128 times the sum of the right one added.
#include <arm_neon.h>

#include "qattention/head.h"

namespace squeeze::qattention {
namespace {

struct Signed {
  using X = uint8_t;
  using W = int8_t;
  static constexpr size_t kStep = 4;

  static void Dot(const X* x, size_t pitch, const W* w, size_t steps, int32_t* sums) {
    constexpr size_t kAtOnce = 4, kVectors = 4;  // rows, of 4 lanes each
    for (size_t first = 0; first < kRows; first += kAtOnce) {
      int32x4_t sum[kAtOnce][kVectors], right_sum[kVectors];
      const int8x16_t ones = vdupq_n_s8(1);
      for (size_t v = 0; v < kVectors; ++v) {
        right_sum[v] = vdupq_n_s32(0);
        for (size_t r = 0; r < kAtOnce; ++r) sum[r][v] = vdupq_n_s32(0);
      }
      for (size_t step = 0; step < steps; ++step) {
        int8x16_t right[kVectors];
        for (size_t v = 0; v < kVectors; ++v) {
          right[v] = vld1q_s8(w + (step * kVectors + v) * 16);
          right_sum[v] = vdotq_s32(right_sum[v], right[v], ones);
        }
        for (size_t r = 0; r < kAtOnce; ++r) {
          uint32_t quad;
          memcpy(&quad, x + (first + r) * pitch + step * kStep, sizeof quad);
          const int8x16_t left = vreinterpretq_s8_u32(vdupq_n_u32(quad ^ 0x80808080u));
          for (size_t v = 0; v < kVectors; ++v) sum[r][v] = vdotq_s32(sum[r][v], right[v], left);
        }
      }
      for (size_t r = 0; r < kAtOnce; ++r) {
        for (size_t v = 0; v < kVectors; ++v) {
          const int32x4_t total = vaddq_s32(sum[r][v], vshlq_n_s32(right_sum[v], 7));
          vst1q_s32(sums + (first + r) * kLanes16 + v * 4, total);
        }
      }
    }
  }
};

}  // namespace

extern const Kernel any__arm64_dotprod = {"qattention any__arm64_dotprod", Isa::kArm64Dotprod,
                                          ScratchBytes<Signed>, Run<Signed>};

}  // namespace squeeze::qattention
