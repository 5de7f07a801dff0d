// The one loop of QAddNorm. Each kernel file compiles its own copy, for its ISA.
#pragma once

#include "base/lanes16.h"
#include "qaddnorm/qaddnorm.h"

namespace squeeze::qaddnorm {
namespace {

// Two sums that take turns.
struct Turns {
  Floats next = All(0), other = All(0);
  [[gnu::always_inline]] void Add(const Floats& a) {
    const Floats sum = next + a;
    next = other, other = sum;
  }
  [[gnu::always_inline]] float Total() const { return Sum(next + other); }
};

SQUEEZE_INLINE void RunRow(const Norm& norm, const Rows& row, const ByteRange& range,
                           float* __restrict total) {
  const float* __restrict a = row.a, * __restrict b = row.b;
  const float* __restrict bias = norm.bias, * __restrict scale = norm.scale;
  const float* __restrict shift = norm.shift;
  uint8_t* __restrict y = row.y;
  float* __restrict stream = row.norm;
  const size_t width = norm.width;
  const auto n = static_cast<float>(width);
  Turns sums;
  EachStep(width, [&](size_t i, size_t count) {
    const Floats branch = LoadUpTo16(b + i, count) + LoadUpTo16(bias + i, count);
    const Floats sum = LoadUpTo16(a + i, count) + branch;
    StoreUpTo16(sum, count, total + i);
    sums.Add(sum);
  });
  const Floats mean = All(norm.centres ? sums.Total() / n : 0.0f);
  Turns squares;
  EachStep(width, [&](size_t i, size_t count) {
    Floats away = LoadUpTo16(total + i, count) - mean;
    if (count < kLanes16) {  // lanes beyond the row are no part of it
      float lanes[kLanes16];
      Store16(away, lanes);
      away = LoadSome(lanes, count);
    }
    squares.Add(away * away);
  });
  const float variance = squares.Total() / n;
  const Floats factor = All(1.0f / __builtin_sqrtf(variance + norm.epsilon));
  const Floats steps = All(norm.steps_per_unit);
  const float* __restrict of_stream = norm.factor;
  EachStep(width, [&](size_t i, size_t count) {
    const Floats even = (LoadUpTo16(total + i, count) - mean) * factor;
    const Floats made = even * LoadUpTo16(scale + i, count) + LoadUpTo16(shift + i, count);
    if (stream) {
      const Floats on = of_stream ? made * LoadUpTo16(of_stream + i, count) : made;
      StoreUpTo16(on, count, stream + i);
    }
    StoreBytes(made * steps, range, count, y + i);
  });
}

void Run(const Norm& norm, const Rows& rows, size_t count, float* scratch) {
  const ByteRange range = MakeByteRange(norm.y_zero_point, norm.flip);
  for (size_t i = 0; i < count; ++i) {
    const size_t at = i * norm.width;
    const Rows row = {rows.a + at, rows.b + at, rows.y + at, rows.norm ? rows.norm + at : nullptr,
                      nullptr};
    RunRow(norm, row, range, rows.sum ? rows.sum + at : scratch);
  }
}

}  // namespace
}  // namespace squeeze::qaddnorm
