// The one loop of QAddNorm. Each kernel file compiles its own copy, for its ISA.
#pragma once

#include "base/lanes16.h"
#include "qaddnorm/qaddnorm.h"

namespace squeeze::qaddnorm {
namespace {

// step(i, count) for all `width` numbers, 16 at a time, the last time with fewer.
template <typename Step>
SQUEEZE_INLINE void EachStep(size_t width, const Step& step) {
  size_t i = 0;
  for (; i + kLanes16 <= width; i += kLanes16) step(i, kLanes16);
  if (i < width) step(i, width - i);
}

SQUEEZE_INLINE Floats Load(const float* from, size_t count) {
  return count == kLanes16 ? Load16(from) : LoadSome(from, count);
}
SQUEEZE_INLINE void Store(const Floats& a, size_t count, float* to) {
  count == kLanes16 ? Store16(a, to) : StoreSome(a, count, to);
}

SQUEEZE_INLINE void RunRow(const Norm& norm, const Rows& row, const ByteRange& range,
                           float* total) {
  const size_t width = norm.width;
  const auto n = static_cast<float>(width);
  Floats parts[2] = {All(0), All(0)};
  EachStep(width, [&](size_t i, size_t count) {
    const Floats branch = Load(row.b + i, count) + Load(norm.bias + i, count);
    const Floats sum = Load(row.a + i, count) + branch;
    Store(sum, count, total + i);
    Floats& part = parts[i / kLanes16 % 2];
    part = part + sum;
  });
  const Floats mean = All(Sum(parts[0] + parts[1]) / n);
  parts[0] = parts[1] = All(0);
  EachStep(width, [&](size_t i, size_t count) {
    Floats away = Load(total + i, count) - mean;
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
    const Floats even = (Load(total + i, count) - mean) * factor;
    const Floats made = even * Load(norm.scale + i, count) + Load(norm.shift + i, count);
    if (row.norm) Store(made, count, row.norm + i);
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
