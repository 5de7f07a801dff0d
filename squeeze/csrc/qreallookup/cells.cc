#include "qreallookup/cells.h"

#include <string.h>

namespace squeeze::qreallookup {

bool MakeCells(const uint8_t* table, size_t size, Cells* cells) {
  memset(cells, 0, sizeof *cells);
  while ((size - 1) >> cells->shift >= kCells) ++cells->shift;
  for (size_t first = 0, cell = 0; first < size; first += size_t{1} << cells->shift, ++cell) {
    const size_t left = size - first, all = size_t{1} << cells->shift;
    const size_t count = left < all ? left : all;
    cells->base[cell] = table[first];
    int changes = 0;
    for (size_t i = 1; i < count; ++i) {
      const auto step = static_cast<uint8_t>(table[first + i] - table[first + i - 1]);
      if (!step) continue;
      if (changes == kMostChanges) return false;
      cells->change[changes].from[cell] = static_cast<uint8_t>(i);
      cells->change[changes].add[cell] = step;
      ++changes;
    }
    if (changes > cells->changes) cells->changes = changes;
  }
  return true;
}

}  // namespace squeeze::qreallookup
