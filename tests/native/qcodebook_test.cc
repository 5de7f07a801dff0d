// Every kernel for coded int8 weights against the portable convolution with the plain weights:
// equal bytes however the rows are cut, nothing read or written outside the buffers.
#include "qcodebook/qcodebook.h"

#include <stdio.h>
#include <string.h>

#include <vector>

#include "native/guarded.h"

#if defined(__x86_64__)
namespace squeeze::qcodebook {
extern const Kernel emulated2__x86_amx, emulated4__x86_amx;
}
#endif

namespace {

using squeeze::native::Guarded;
using squeeze::native::Random;
using squeeze::product::Conv;
using squeeze::product::Extent;
using squeeze::product::Kernel;
using squeeze::product::Task;
using squeeze::product::Weights;

constexpr int kRandomCases = 1500;

struct Case {
  Conv conv;
  Extent extent;
};

int OutputSize(int size, int before, int after, int kernel, int dilation, int stride) {
  const int room = size + before + after - ((kernel - 1) * dilation + 1);
  return room < 0 ? 0 : room / stride + 1;
}

void SetOutput(Case* c) {
  const Conv& v = c->conv;
  c->extent.out_h =
      OutputSize(c->extent.in_h, v.pad_top, v.pad_bottom, v.kernel_h, v.dilation_h, v.stride_h);
  c->extent.out_w =
      OutputSize(c->extent.in_w, v.pad_left, v.pad_right, v.kernel_w, v.dilation_w, v.stride_w);
}

Case Square(int in, int out, int size, int kernel, int stride, bool residual) {
  Case c = {};
  c.conv.in_channels = in, c.conv.out_channels = out, c.conv.groups = 1;
  c.conv.kernel_h = c.conv.kernel_w = kernel;
  c.conv.stride_h = c.conv.stride_w = stride;
  c.conv.dilation_h = c.conv.dilation_w = 1;
  c.conv.pad_top = c.conv.pad_left = c.conv.pad_bottom = c.conv.pad_right = kernel / 2;
  c.conv.has_residual = residual;
  c.extent.in_h = c.extent.in_w = size;
  SetOutput(&c);
  return c;
}

Case Product(int rows, int in, int out, bool residual) {
  Case c = Square(in, out, 1, 1, 1, residual);
  c.extent = {1, rows, 1, rows};
  return c;
}

// Shapes around the tiles: one less, equal, one more, primes, and everything asymmetric.
Case RandomCase(Random& random) {
  constexpr int kChannels[] = {1,  2,  3,  4,  5,  8,  13, 15, 16, 17, 24,
                               31, 32, 33, 40, 47, 48, 49, 63, 64, 65, 80};
  constexpr int kRows[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 40};
  constexpr int kSizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 23, 33};
  constexpr int kKernels[] = {1, 1, 2, 3, 3, 3, 3, 5, 7};
  const bool residual = random(0, 1);
  const bool real = !residual && random(0, 3) == 0;
  if (random(0, 2) == 0) {
    Case c = Product(random.Pick(kRows), random(1, 150), random.Pick(kChannels), residual);
    c.conv.has_real_y = real;
    return c;
  }
  Case c = Square(random.Pick(kChannels), random.Pick(kChannels), 1, 3, 1, residual);
  c.conv.has_real_y = real;
  if (random(0, 5) == 0) {
    c.conv.groups = random(2, 4);
    c.conv.in_channels = c.conv.groups * random(1, 9);
    c.conv.out_channels = c.conv.groups * random(1, 9);
  }
  c.conv.kernel_h = random.Pick(kKernels);
  c.conv.kernel_w = random(0, 3) ? c.conv.kernel_h : random.Pick(kKernels);
  c.conv.dilation_h = random(0, 4) ? 1 : 2;
  c.conv.dilation_w = random(0, 4) ? 1 : random(1, 3);
  c.conv.stride_h = random(0, 1) ? 1 : random(1, 3);
  c.conv.stride_w = random(0, 3) ? c.conv.stride_h : random(1, 3);
  const int same = random(0, 1) ? c.conv.kernel_h / 2 : -1;
  int32_t* const pads[] = {&c.conv.pad_top, &c.conv.pad_left, &c.conv.pad_bottom,
                           &c.conv.pad_right};
  for (int32_t* pad : pads) *pad = same >= 0 ? same : random(0, 3);
  do {
    c.extent.in_h = random.Pick(kSizes);
    c.extent.in_w = random.Pick(kSizes);
    SetOutput(&c);
  } while (c.extent.out_h < 1 || c.extent.out_w < 1);
  return c;
}

// False when a guard was hit. A second task begins at row `split`.
bool Compute(const Kernel& kernel, const Case& c, const Weights& weights, const uint8_t* x,
             const uint8_t* residual, int split, uint8_t* y) {
  const size_t packed_bytes = kernel.packed_bytes(c.conv);
  const Guarded packed(packed_bytes, squeeze::kAlignment);
  memset(packed.data(), 0, packed_bytes);
  kernel.pack(c.conv, weights, packed.data());
  const Guarded scratch(kernel.scratch_bytes(c.conv, c.extent), squeeze::kAlignment);
  const int bounds[] = {0, split, c.extent.out_h};
  for (int i = 0; i < 2; ++i) {
    if (bounds[i] == bounds[i + 1]) continue;
    kernel.run(c.conv, packed.data(), c.extent, {x, residual, y, bounds[i], bounds[i + 1]},
               scratch.data());
  }
  return packed.Intact() && scratch.Intact();
}

// Null when all is well; else what is wrong. `spread` counts outputs that are not saturated.
const char* Check(const Kernel& kernel, int table_bits, Case c, uint32_t seed, long* spread) {
  Random random(seed);
  Conv& conv = c.conv;
  const Extent& e = c.extent;
  conv.x_zero_point = random(0, 255);
  conv.conv_zero_point = random(0, 1) ? 0 : random(0, 255);
  conv.residual_zero_point = random(0, 255);
  conv.y_zero_point = random(0, 1) ? 0 : random(0, 255);
  const bool ties = random(0, 1);  // powers of two: exact halves occur
  conv.conv_ratio = ties ? 0.5f : 0.37f;
  conv.residual_ratio = ties ? 0.25f : 0.81f;

  const int per_output = conv.in_channels / conv.groups * conv.kernel_h * conv.kernel_w;
  const bool extreme = random(0, 7) == 0;  // where saturating 16-bit products would show
  std::vector<int8_t> w;
  for (int o = 0; o < conv.out_channels; ++o) {
    int8_t levels[16];
    for (int8_t& v : levels) v = extreme ? random(0, 1) * 255 - 128 : random(-128, 127);
    for (int i = 0; i < per_output; ++i) w.push_back(levels[random(0, (1 << table_bits) - 1)]);
  }
  std::vector<int32_t> bias(conv.out_channels);
  std::vector<float> multiplier(conv.out_channels);
  for (int32_t& v : bias) v = random(-20000, 20000);
  for (float& v : multiplier) {
    v = ties ? 1.0f / (1 << random(9, 13)) : 1.0f / (per_output * random(20, 200));
  }
  const size_t y_count = size_t{1} * e.out_h * e.out_w * conv.out_channels;
  const size_t y_bytes = y_count * YBytes(conv);
  const size_t x_bytes = size_t{1} * e.in_h * e.in_w * conv.in_channels;
  const Guarded x(x_bytes), residual(y_count), y(y_bytes);
  for (size_t i = 0; i < x_bytes; ++i) x.data()[i] = extreme ? random(0, 1) * 255 : random(0, 255);
  for (size_t i = 0; i < y_count; ++i) residual.data()[i] = random(0, 255);
  std::vector<uint8_t> wanted(y_bytes);

  const Weights weights = {w.data(), bias.data(), multiplier.data()};
  const int bits = squeeze::qcodebook::TableBits(conv, weights);
  if (bits < 2 || bits > table_bits) return "has no tables";
  const uint8_t* given = conv.has_residual ? residual.data() : nullptr;
  const Kernel& plain = *squeeze::product::kKernels[squeeze::product::kKernelCount - 1];
  Compute(plain, c, weights, x.data(), given, 0, wanted.data());
  if (!Compute(kernel, c, weights, x.data(), given, random(0, e.out_h), y.data())) {
    return "wrote outside of its weights or scratch";
  }
  if (!y.Intact() || !x.Intact() || !residual.Intact()) return "wrote outside of an image";
  if (memcmp(y.data(), wanted.data(), y_bytes) != 0) return "differs from the plain convolution";
  for (const uint8_t v : wanted) *spread += v != 0 && v != 255;
  return nullptr;
}

bool TestKernel(const Kernel& kernel, int table_bits) {
  std::vector<Case> cases;
  for (const bool residual : {false, true}) {
    cases.push_back(Square(3, 16, 32, 3, 1, residual));
    cases.push_back(Square(16, 16, 32, 3, 1, residual));
    cases.push_back(Square(32, 64, 16, 3, 2, residual));
    cases.push_back(Square(64, 64, 8, 3, 1, residual));
    cases.push_back(Square(64, 80, 12, 1, 1, residual));
    cases.push_back(Square(64, 40, 2, 3, 1, residual));
    cases.push_back(Square(64, 64, 70, 3, 1, residual));  // more than one piece of scratch
    for (const int rows : {1, 4, 16, 40}) cases.push_back(Product(rows, 384, 200, residual));
  }
  for (const int rows : {1, 4, 16, 40}) {
    for (const int outputs : {200, 203}) {
      cases.push_back(Product(rows, 384, outputs, false));
      cases.back().conv.has_real_y = true;
    }
  }
  Random random(11);
  const int random_cases = squeeze::native::quick ? 200 : kRandomCases;
  for (int i = 0; i < random_cases; ++i) cases.push_back(RandomCase(random));

  int tried = 0, failed = 0;
  long spread = 0;
  for (size_t i = 0; i < cases.size(); ++i) {
    if (!kernel.supports(cases[i].conv)) continue;
    ++tried;
    const char* wrong = Check(kernel, table_bits, cases[i], static_cast<uint32_t>(i), &spread);
    if (!wrong || ++failed > 5) continue;
    const Conv& v = cases[i].conv;
    const Extent& e = cases[i].extent;
    printf(
        "  %s: case %zu %s: [%d, %d, %d] -> %d, kernel %d x %d, stride %d x %d, dilation %d x %d, "
        "pads %d %d %d %d, groups %d, residual %d, real %d\n",
        kernel.name, i, wrong, e.in_h, e.in_w, v.in_channels, v.out_channels, v.kernel_h,
        v.kernel_w, v.stride_h, v.stride_w, v.dilation_h, v.dilation_w, v.pad_top, v.pad_left,
        v.pad_bottom, v.pad_right, v.groups, v.has_residual, v.has_real_y);
  }
  printf("%s %s: %d cases, %d failed, %ld outputs not saturated\n", failed ? "FAILED" : "ok",
         kernel.name, tried, failed, spread);
  return !failed && tried && spread;
}

}  // namespace

bool TestQCodebookKernels() {
  const squeeze::Isa isa = squeeze::DetectIsa();
  bool ok = true;
  for (int i = 0; i < squeeze::qcodebook::kKernelCount; ++i) {
    const auto& [table_bits, kernel] = *squeeze::qcodebook::kKernels[i];
    if (kernel.isa > isa) {
      printf("skipped %s: this CPU has only %s\n", kernel.name,
             squeeze::kIsaNames[static_cast<int>(isa)]);
    } else {
      ok = TestKernel(kernel, table_bits) && ok;
    }
  }
#if defined(__x86_64__)
  if (isa >= squeeze::Isa::kX86Avx512Vnni) {
    puts("with tiles emulated:");
    ok = TestKernel(squeeze::qcodebook::emulated2__x86_amx.kernel, 2) && ok;
    ok = TestKernel(squeeze::qcodebook::emulated4__x86_amx.kernel, 4) && ok;
  }
#endif
  return ok;
}
