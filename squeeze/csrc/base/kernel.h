// What all kernels share. Also read by files that are compiled for one ISA only: nothing in here
// may emit code of its own.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/isa.h"

// For functions in headers of kernels: each file that includes one is compiled for an ISA of its
// own, and its copy must never be picked by the linker for the whole library.
#define SQUEEZE_INLINE [[gnu::always_inline]] static inline

namespace squeeze {

// Of packed weights and scratch.
inline constexpr size_t kAlignment = 64;

}  // namespace squeeze
