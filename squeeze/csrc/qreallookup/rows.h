// The one loop of QRealLookup. Each kernel file compiles its own copy, for its ISA.
#pragma once

#include "base/lanes16.h"
#include "qreallookup/qreallookup.h"

namespace squeeze::qreallookup {
namespace {

void Run(const Lookup& lookup, const float* __restrict x, size_t rows, uint8_t* __restrict y) {
  const Floats least = All(lookup.least), steps = All(lookup.steps_per_unit);
  const Floats first = All(0), last = All(static_cast<float>(lookup.size - 1));
  const uint8_t* __restrict table = lookup.table;
  const size_t width = lookup.width;
  for (size_t row = 0; row < rows; ++row, x += width, y += width) {
    EachStep(width, [&](size_t i, size_t count) {
      const Floats at =
          ((LoadUpTo16(x + i, count) + LoadUpTo16(lookup.bias + i, count)) - least) * steps;
      const Ints places = RoundToInts(Min(Max(at, first), last));
      int32_t place[kLanes16];
      StoreInts(places, place);
      // Each straight to y: 16 stores of a byte and a load of all of them would wait for each
      // other.
      if (count == kLanes16) {
        for (size_t lane = 0; lane < kLanes16; ++lane) y[i + lane] = table[place[lane]];
      } else {
        for (size_t lane = 0; lane < count; ++lane) y[i + lane] = table[place[lane]];
      }
    });
  }
}

}  // namespace
}  // namespace squeeze::qreallookup
