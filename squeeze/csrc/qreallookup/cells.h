// A table that changes seldom from one entry to the next, as those of smooth functions do, in a
// form that fits registers: cells of equally many entries, and of each the first entry and where
// the next ones differ from the ones before.
//
// This header is also read by files that are compiled for one ISA only: nothing in it may emit code
// of its own.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/kernel.h"

namespace squeeze::qreallookup {

inline constexpr size_t kCells = 256;
inline constexpr int kMostChanges = 4;

// Entry `place` is that of cell c = place >> shift: base[c], and, modulo 256, each add[c] whose
// from[c] is at most place - (c << shift).
struct alignas(kAlignment) Cells {
  struct Change {
    uint8_t from[kCells], add[kCells];
  };
  uint8_t base[kCells];
  Change change[kMostChanges];
  int changes;  // that any cell has
  int shift;
};

// False where a cell has more than kMostChanges changes. `table`: [size], 2 to 65536 entries.
bool MakeCells(const uint8_t* table, size_t size, Cells* cells);

}  // namespace squeeze::qreallookup
