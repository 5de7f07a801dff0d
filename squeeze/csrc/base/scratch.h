// Memory for the time of one task.
#pragma once

#include "base/memory.h"

namespace squeeze {

// Up to this size it lies on the task's stack, so that all layers share warm memory.
inline constexpr size_t kStackScratchBytes = 144 * 1024;

// Calls run(scratch) with `bytes` bytes, aligned to kAlignment. False, and no call, when there is
// no memory.
template <typename Run>
bool WithScratch(size_t bytes, const Run& run) {
  if (bytes <= kStackScratchBytes) {
    alignas(kAlignment) uint8_t scratch[kStackScratchBytes];
    run(scratch);
    return true;
  }
  const Memory scratch(bytes);
  if (!scratch.As<void>()) return false;
  run(scratch.As<void>());
  return true;
}

}  // namespace squeeze
