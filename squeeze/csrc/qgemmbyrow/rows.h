// The two loops of QGemmByRow. Each kernel file compiles its own copy, for its ISA.
#pragma once

#include "base/lanes16.h"
#include "qgemmbyrow/qgemmbyrow.h"

namespace squeeze::qgemmbyrow {
namespace {

float Quantise(const float* a, size_t count, uint8_t* q) {
  Floats most = All(kTiny);
  EachStep(count, [&](size_t i, size_t some) {
    const Floats here = LoadUpTo16(a + i, some);
    // What is no number gives the second one.
    most = Max(here, Max(All(0) - here, most));
  });
  const float largest = Largest(most);
  const Floats steps = All(kSteps / largest);
  const ByteRange range = MakeByteRange(kZeroPoint, 0);
  EachStep(count, [&](size_t i, size_t some) {
    StoreBytes(LoadUpTo16(a + i, some) * steps, range, some, q + i);
  });
  return largest * (1.0f / kSteps);
}

void Finish(float scale, const float* __restrict bias, size_t count, float* __restrict y) {
  const Floats all = All(scale);
  EachStep(count, [&](size_t i, size_t some) {
    StoreUpTo16(LoadUpTo16(y + i, some) * all + LoadUpTo16(bias + i, some), some, y + i);
  });
}

}  // namespace
}  // namespace squeeze::qgemmbyrow
