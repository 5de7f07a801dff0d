// Four products of bytes per lane and instruction.
#include <immintrin.h>

#include "qattention/head.h"

namespace squeeze::qattention {
namespace {

struct Vnni {
  using X = uint8_t;
  using W = int8_t;
  static constexpr size_t kStep = 4;

  static void Dot(const X* x, size_t pitch, const W* w, size_t steps, int32_t* sums) {
    __m512i sum[kRows];
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) sum[r] = _mm512_setzero_si512();
    for (size_t step = 0; step < steps; ++step) {
      const __m512i right = _mm512_loadu_si512(w + step * 64);
#pragma GCC unroll 8
      for (size_t r = 0; r < kRows; ++r) {
        int32_t quad;
        memcpy(&quad, x + r * pitch + step * kStep, 4);
        const __m512i left = _mm512_set1_epi32(quad);
        // Assembler because GCC 12 copies the accumulator around the intrinsic.
        asm("vpdpbusd %2, %1, %0" : "+v"(sum[r]) : "v"(left), "v"(right));
      }
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) _mm512_storeu_si512(sums + r * kLanes16, sum[r]);
  }
};

}  // namespace

extern const Kernel any__x86_avx512vnni = {"qattention any__x86_avx512vnni", Isa::kX86Avx512Vnni,
                                           ScratchBytes<Vnni>, Run<Vnni>};

}  // namespace squeeze::qattention
