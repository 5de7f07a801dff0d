// One byte at a time.
#include "qconcat/qconcat.h"

namespace squeeze::qconcat {
namespace {

void Run(const Table& table, const Rows& rows, const uint8_t* x, uint8_t* y) {
  for (size_t row = 0; row < rows.rows; ++row) {
    for (size_t i = 0; i < rows.bytes; ++i) y[i] = table.values[x[i]];
    x += rows.bytes;
    y += rows.stride;
  }
}

}  // namespace

extern const Kernel any__portable = {"qconcat any__portable", Isa::kPortable, Run};

}  // namespace squeeze::qconcat
