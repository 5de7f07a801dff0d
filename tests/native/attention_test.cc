// The kernels of QAttention and QRealLookup against the portable ones: equal bytes, nothing read or
// written outside the buffers.
#include <string.h>

#include <vector>

#include "native/every_kernel.h"
#include "native/guarded.h"
#include "qattention/qattention.h"
#include "qreallookup/qreallookup.h"

namespace {

using squeeze::native::Guarded;
using squeeze::native::Random;
using squeeze::native::TestEveryKernel;

constexpr int kRandomCases = 1500;

struct Numbers {
  Guarded memory;
  Numbers(Random& random, size_t count) : memory(count * sizeof(float), alignof(float)) {
    for (size_t i = 0; i < count; ++i) data()[i] = random(-3000, 3000) * 0.001f;
  }
  float* data() const { return reinterpret_cast<float*>(memory.data()); }
};

struct Bytes {
  Guarded memory;
  Bytes(Random& random, size_t count) : memory(count) {
    for (size_t i = 0; i < count; ++i) data()[i] = static_cast<uint8_t>(random(0, 255));
  }
  uint8_t* data() const { return memory.data(); }
};

bool SameAttention(const squeeze::qattention::Kernel& kernel,
                   const squeeze::qattention::Kernel& portable, Random& random) {
  squeeze::qattention::Attention attention = {};
  attention.heads = random(1, 3);
  attention.size = random(1, 70), attention.value_size = random(1, 70);
  attention.q_zero_point = random(0, 255), attention.k_zero_point = random(0, 255);
  attention.v_zero_point = random(0, 255), attention.y_zero_point = random(0, 255);
  attention.flip = random(0, 1) * 0x80;
  attention.score_factor = random(1, 100) * 1e-5f;
  attention.p_scale = 1.0f / random(200, 300);
  attention.y_factor = attention.p_scale * random(1, 300) * 0.01f;
  squeeze::qattention::Head head = {};
  head.queries = random(1, 20), head.keys = random(1, random(0, 3) ? 40 : 200);
  const size_t at = random(0, static_cast<int>(attention.heads) - 1);
  const size_t width = attention.heads * attention.size;
  const size_t value_width = attention.heads * attention.value_size;
  const Bytes q(random, head.queries * width), k(random, head.keys * width),
      v(random, head.keys * value_width);
  const Numbers mask(random, head.queries * head.keys);
  head.q = q.data() + at * attention.size, head.k = k.data() + at * attention.size;
  head.v = v.data() + at * attention.value_size;
  head.mask = mask.data();
  head.mask_key_step = random(0, 2) ? 1 : 0;
  head.mask_row_step = random(0, 1) ? (head.mask_key_step ? head.keys : 1) : 0;
  const size_t y_bytes = head.queries * value_width;
  const Guarded y(y_bytes);
  std::vector<uint8_t> wanted(y_bytes, 7);
  memset(y.data(), 7, y_bytes);
  for (const bool is_wanted : {true, false}) {
    const auto& one = is_wanted ? portable : kernel;
    const Guarded scratch(one.scratch_bytes(attention, head.keys), squeeze::kAlignment);
    head.y = (is_wanted ? wanted.data() : y.data()) + at * attention.value_size;
    one.run(attention, head, scratch.data());
    if (!scratch.Intact()) return false;
  }
  return q.memory.Intact() && k.memory.Intact() && v.memory.Intact() && mask.memory.Intact() &&
         y.Intact() && !memcmp(y.data(), wanted.data(), y_bytes);
}

int with_cells = 0, without_cells = 0;

bool SameLookup(const squeeze::qreallookup::Kernel& kernel,
                const squeeze::qreallookup::Kernel& portable, Random& random) {
  const size_t width = random(1, 100), rows = random(0, 4);
  const size_t size = random(0, 3) ? random(2, 5000) : random(2, 65536);
  const Numbers x(random, rows * width), bias(random, width);
  const Bytes table(random, size + squeeze::qreallookup::kOverRead);
  // Of a smooth function, every `seldom` entries a step up or down.
  if (const int seldom = random(0, 2) * random(1, 60)) {
    for (size_t i = 1; i < size; ++i) {
      const int step = random(0, seldom) ? 0 : random(0, 9) ? 1 : random(-128, 127);
      table.memory.data()[i] = static_cast<uint8_t>(table.memory.data()[i - 1] + step);
    }
  }
  alignas(64) squeeze::qreallookup::Cells cells;
  const bool has_cells = MakeCells(table.data(), size, &cells);
  has_cells ? ++with_cells : ++without_cells;
  const squeeze::qreallookup::Lookup lookup = {
      bias.data(),  width, random(-5000, 100) * 0.001f, random(1, 4000) * 0.5f,
      table.data(), size,  has_cells ? &cells : nullptr};
  const Guarded y(rows * width);
  std::vector<uint8_t> wanted(rows * width);
  portable.run(lookup, x.data(), rows, wanted.data());
  kernel.run(lookup, x.data(), rows, y.data());
  return x.memory.Intact() && bias.memory.Intact() && table.memory.Intact() && y.Intact() &&
         (!rows || !memcmp(y.data(), wanted.data(), rows * width));
}

}  // namespace

bool TestAttentionKernels() {
  const int cases = squeeze::native::quick ? 100 : kRandomCases;
  const bool ok = TestEveryKernel(squeeze::qattention::kKernels, squeeze::qattention::kKernelCount,
                                  cases, SameAttention);
  return TestEveryKernel(squeeze::qreallookup::kKernels, squeeze::qreallookup::kKernelCount, cases,
                         SameLookup) &&
         with_cells && without_cells && ok;
}
