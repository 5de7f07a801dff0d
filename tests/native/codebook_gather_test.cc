// Every kernel of the CodebookGathers against codes that are unpacked one by one: equal numbers,
// nothing read or written outside the buffers.
#include <string.h>

#include <vector>

#include "codebookgather/codebookgather.h"
#include "native/every_kernel.h"
#include "native/guarded.h"

namespace {

using squeeze::codebookgather::Kernel;
using squeeze::codebookgather::LowBits;
using squeeze::codebookgather::Parts;
using squeeze::codebookgather::Table;
using squeeze::native::Guarded;
using squeeze::native::Random;

constexpr int kRandomCases = 2000;

int CodeAt(const Table& table, size_t row, size_t i) {
  const size_t bytes = table.width / Parts(table.bits), part = i / bytes, j = i % bytes;
  const int low = LowBits(table.bits);
  const int code = table.codes[row * bytes + j] >> part * low & ((1 << low) - 1);
  if (table.bits != 3) return code;
  const size_t half = bytes / 2;
  const int bit = static_cast<int>(j < half ? part : part + 4);
  return code + 4 * (table.high[row * half + j % half] >> bit & 1);
}

bool Same(const Kernel& kernel, Random& random) {
  const int bits = random(2, 4);
  const size_t whole = bits == 3 ? 8 : 8 / bits, width = whole * random(1, random(0, 3) ? 12 : 60);
  const size_t rows = random(1, 4);
  const Guarded codes(rows * width / Parts(bits)), high(bits == 3 ? rows * width / 8 : 0);
  const Guarded levels((1 << bits) * sizeof(float), alignof(float));
  const Guarded scales(rows * sizeof(float), alignof(float));
  const Guarded y(width * sizeof(float), alignof(float));
  for (size_t i = 0; i < rows * width / Parts(bits); ++i) codes.data()[i] = random(0, 255);
  for (size_t i = 0; bits == 3 && i < rows * width / 8; ++i) high.data()[i] = random(0, 255);
  const auto floats = [](const Guarded& memory) { return reinterpret_cast<float*>(memory.data()); };
  for (int i = 0; i < 1 << bits; ++i) floats(levels)[i] = random(-3000, 3000) * 0.001f;
  for (size_t i = 0; i < rows; ++i) floats(scales)[i] = random(-3000, 3000) * 0.001f;
  const Table table = {
      bits, width, codes.data(), bits == 3 ? high.data() : nullptr, floats(levels), floats(scales)};
  const size_t row = random(0, static_cast<int>(rows) - 1);
  std::vector<float> wanted(width);
  for (size_t i = 0; i < width; ++i) {
    wanted[i] = table.levels[CodeAt(table, row, i)] * table.scales[row];
  }
  kernel.run(table, row, floats(y));
  return codes.Intact() && high.Intact() && levels.Intact() && scales.Intact() && y.Intact() &&
         !memcmp(y.data(), wanted.data(), width * sizeof(float));
}

}  // namespace

bool TestCodebookGatherKernels() {
  using squeeze::codebookgather::kKernelCount, squeeze::codebookgather::kKernels;
  const auto same = [](const Kernel& kernel, const Kernel&, Random& random) {
    return Same(kernel, random);
  };
  return squeeze::native::TestEveryKernel(kKernels, kKernelCount,
                                          squeeze::native::quick ? 100 : kRandomCases, same);
}
