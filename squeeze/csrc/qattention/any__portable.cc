// The truth, for every CPU.
#include "qattention/head.h"

namespace squeeze::qattention {
namespace {

struct Plain {
  using X = uint8_t;
  using W = int8_t;
  static constexpr size_t kStep = 4;

  static void Dot(const X* x, size_t pitch, const W* w, size_t steps, int32_t* sums) {
    for (size_t r = 0; r < kRows; ++r) {
      int32_t sum[kLanes16] = {};
      for (size_t step = 0; step < steps; ++step) {
        const X* left = x + r * pitch + step * kStep;
        const W* right = w + step * kLanes16 * kStep;
        for (size_t lane = 0; lane < kLanes16; ++lane) {
          for (size_t n = 0; n < kStep; ++n) sum[lane] += left[n] * right[lane * kStep + n];
        }
      }
      memcpy(sums + r * kLanes16, sum, sizeof sum);
    }
  }
};

}  // namespace

extern const Kernel any__portable = {"qattention any__portable", Isa::kPortable,
                                     ScratchBytes<Plain>, Run<Plain>};

}  // namespace squeeze::qattention
