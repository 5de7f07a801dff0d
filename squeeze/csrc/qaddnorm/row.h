// The one loop of QAddNorm. Each kernel file compiles its own copy, for its ISA.
#pragma once

#include "base/lanes16.h"
#include "qaddnorm/qaddnorm.h"

namespace squeeze::qaddnorm {
namespace {

SQUEEZE_INLINE void RunRow(const Norm& norm, const Rows& row, const ByteRange& range,
                           float* total) {
  const size_t width = norm.width;
  const auto n = static_cast<float>(width);
  Floats parts[2] = {All(0), All(0)};
  EachStep(width, [&](size_t i, size_t count) {
    const Floats branch = LoadUpTo16(row.b + i, count) + LoadUpTo16(norm.bias + i, count);
    const Floats sum = LoadUpTo16(row.a + i, count) + branch;
    StoreUpTo16(sum, count, total + i);
    Floats& part = parts[i / kLanes16 % 2];
    part = part + sum;
  });
  const Floats mean = All(Sum(parts[0] + parts[1]) / n);
  parts[0] = parts[1] = All(0);
  EachStep(width, [&](size_t i, size_t count) {
    Floats away = LoadUpTo16(total + i, count) - mean;
    if (count < kLanes16) {  // lanes beyond the row are no part of it
      float lanes[kLanes16];
      Store16(away, lanes);
      away = LoadSome(lanes, count);
    }
    Floats& part = parts[i / kLanes16 % 2];
    part = part + away * away;
  });
  const float variance = Sum(parts[0] + parts[1]) / n;
  const Floats factor = All(1.0f / __builtin_sqrtf(variance + norm.epsilon));
  const Floats y_scale = All(norm.y_scale);
  EachStep(width, [&](size_t i, size_t count) {
    const Floats even = (LoadUpTo16(total + i, count) - mean) * factor;
    const Floats made =
        even * LoadUpTo16(norm.scale + i, count) + LoadUpTo16(norm.shift + i, count);
    if (row.norm) StoreUpTo16(made, count, row.norm + i);
    StoreBytes(made / y_scale, range, count, row.y + i);
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
