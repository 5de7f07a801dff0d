// For every CPU, number by number.
#include "base/kernel.h"
#include "codebookgather/codebookgather.h"

namespace squeeze::codebookgather {
namespace {

template <int kBits>
SQUEEZE_INLINE void RunRow(const Table& table, size_t row, float* __restrict y) {
  constexpr int kLow = LowBits(kBits), kParts = 8 / kLow, kMask = (1 << kLow) - 1;
  const uint8_t* codes = table.codes + row * RowBytes(table);
  const uint8_t* high = kBits == 3 ? table.high + row * (table.width / 8) : nullptr;
  const float scale = table.scales[row];
  for (size_t i = 0; i < table.width; ++i) {
    int code = codes[i / kParts] >> (i % kParts * kLow) & kMask;
    if (kBits == 3) code |= (high[i / 8] >> (i % 8) & 1) << 2;
    y[i] = table.levels[code] * scale;
  }
}

void Run(const Table& table, size_t row, float* y) {
  if (table.bits == 4) {
    RunRow<4>(table, row, y);
  } else if (table.bits == 3) {
    RunRow<3>(table, row, y);
  } else {
    RunRow<2>(table, row, y);
  }
}

}  // namespace

extern const Kernel any__portable = {"codebookgather any__portable", Isa::kPortable, Run};

}  // namespace squeeze::codebookgather
