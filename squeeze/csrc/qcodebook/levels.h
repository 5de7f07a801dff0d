// The levels that one output channel uses, for packing. Internal linkage only: also read by files
// that are compiled for one ISA.
#pragma once

#include "product/rows.h"

namespace squeeze::qcodebook {

inline constexpr int32_t kMostLevels = 16;

struct Levels {
  int32_t count;
  int8_t level[kMostLevels];
  uint8_t index[256];  // of a level, by its bits
};

// `count` ends at kMostLevels + 1 where there are more.
SQUEEZE_INLINE Levels LevelsOf(const int8_t* w, size_t count) {
  Levels levels = {};
  bool seen[256] = {};
  for (size_t i = 0; i < count; ++i) {
    const auto bits = static_cast<uint8_t>(w[i]);
    if (seen[bits]) continue;
    if (levels.count == kMostLevels) {
      ++levels.count;
      break;
    }
    seen[bits] = true;
    levels.level[levels.count] = w[i];
    levels.index[bits] = static_cast<uint8_t>(levels.count++);
  }
  return levels;
}

}  // namespace squeeze::qcodebook
