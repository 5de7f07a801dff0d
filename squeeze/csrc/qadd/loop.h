// The one loop of QAdd. Each kernel file compiles its own copy, and the compiler makes vectors of
// it as wide as the file's ISA has them.
#pragma once

#include "qadd/qadd.h"

namespace squeeze::qadd {
namespace {

void Run(const Add& add, const uint8_t* __restrict a, const uint8_t* __restrict b, size_t count,
         uint8_t* __restrict y) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: rounds half to even below 2^22
  const int32_t a_zero = add.a_zero_point, b_zero = add.b_zero_point, y_zero = add.y_zero_point;
  const float a_ratio = add.a_ratio, b_ratio = add.b_ratio;
  // Limits are integers, so saturating before rounding gives the same.
  const float low = static_cast<float>(-y_zero), high = static_cast<float>(255 - y_zero);
  const uint8_t flip = add.flip;
  for (size_t i = 0; i < count; ++i) {
    const float left = static_cast<float>((a[i] ^ flip) - a_zero) * a_ratio;
    const float right = static_cast<float>((b[i] ^ flip) - b_zero) * b_ratio;
    float total = left + right;
    total = total < low ? low : total;
    total = total > high ? high : total;
    total = (total + kMagic) - kMagic;
    y[i] = static_cast<uint8_t>((static_cast<int32_t>(total) + y_zero) ^ flip);
  }
}

}  // namespace
}  // namespace squeeze::qadd
