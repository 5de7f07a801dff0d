// Every QConv kernel of kernels.inc against the portable one: equal bytes, nothing read or written
// outside the buffers. Prints one line per kernel; exit code 1 when one differs. Kernels that this
// CPU cannot run are skipped by name. `squeeze_kernel_test quick` draws fewer
// random shapes and leaves out large ones.
#include <stdio.h>
#include <string.h>

#include <vector>

#include "base/isa.h"
#include "native/guarded.h"
#include "product/product.h"

#if defined(__x86_64__)
namespace squeeze::product {
extern const Kernel emulated__x86_amx;
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

Case Square(int in, int out, int size, int kernel, int stride, int groups, bool residual) {
  Case c = {};
  c.conv.in_channels = in, c.conv.out_channels = out, c.conv.groups = groups;
  c.conv.kernel_h = c.conv.kernel_w = kernel;
  c.conv.stride_h = c.conv.stride_w = stride;
  c.conv.dilation_h = c.conv.dilation_w = 1;
  c.conv.pad_top = c.conv.pad_left = c.conv.pad_bottom = c.conv.pad_right = kernel / 2;
  c.conv.has_residual = residual;
  c.extent.in_h = c.extent.in_w = size;
  SetOutput(&c);
  return c;
}

double Macs(const Case& c) {
  const Conv& v = c.conv;
  return 1.0 * c.extent.out_h * c.extent.out_w * v.out_channels * (v.in_channels / v.groups) *
         v.kernel_h * v.kernel_w;
}

// Shapes around the tiles: one less, equal, one more, primes, and everything asymmetric.
Case RandomCase(Random& random) {
  constexpr int kChannels[] = {1,  2,  3,  4,  5,  8,  13, 15, 16, 17, 24,
                               31, 32, 33, 40, 48, 63, 64, 65, 80, 128};
  constexpr int kSizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 23, 33};
  constexpr int kKernels[] = {1, 1, 2, 3, 3, 3, 3, 5, 7};
  Case c = Square(random.Pick(kChannels), random.Pick(kChannels), 1, 3, 1, 1, random(0, 1));
  c.conv.has_real_y = !c.conv.has_residual && random(0, 3) == 0;
  const int kind = random(0, 3);
  if (kind == 1)
    c.conv.groups = c.conv.out_channels = c.conv.in_channels,
    c.conv.has_residual = !c.conv.has_real_y && random(0, 3) == 0;
  if (kind == 2) {
    c.conv.groups = random(1, 4);
    c.conv.in_channels = c.conv.groups * random(1, 9);
    c.conv.out_channels = c.conv.groups * random(1, 9);
  }
  if (kind != 1 || random(0, 3) == 0) {
    c.conv.kernel_h = random.Pick(kKernels);
    c.conv.kernel_w = random(0, 3) ? c.conv.kernel_h : random.Pick(kKernels);
    c.conv.dilation_h = random(0, 4) ? 1 : 2;
    c.conv.dilation_w = random(0, 4) ? 1 : random(1, 3);
  }
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

struct Run {
  const Kernel& kernel;
  const Conv& conv;
  const Extent& extent;
  const Weights& weights;
  const uint8_t *x, *residual;
  int split;  // a second task begins at this row
};

// False when a guard was hit.
bool Compute(const Run& r, uint8_t* y) {
  const size_t packed_bytes = r.kernel.packed_bytes(r.conv);
  const Guarded packed(packed_bytes, squeeze::kAlignment);
  memset(packed.data(), 0, packed_bytes);
  r.kernel.pack(r.conv, r.weights, packed.data());
  const Guarded scratch(r.kernel.scratch_bytes(r.conv, r.extent), squeeze::kAlignment);
  const int bounds[] = {0, r.split, r.extent.out_h};
  for (int i = 0; i < 2; ++i) {
    if (bounds[i] == bounds[i + 1]) continue;
    const Task task = {r.x, r.residual, y, bounds[i], bounds[i + 1]};
    r.kernel.run(r.conv, packed.data(), r.extent, task, scratch.data());
  }
  return packed.Intact() && scratch.Intact();
}

constexpr double kQuickMacs = 1e6;

// Empty when equal; else what is wrong. `spread` counts outputs that are not saturated.
const char* Check(const Kernel& kernel, const Kernel& portable, Case c, uint32_t seed,
                  long* spread) {
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
  std::vector<int8_t> w(size_t{1} * conv.out_channels * per_output);
  std::vector<int32_t> bias(conv.out_channels);
  std::vector<float> multiplier(conv.out_channels);
  const bool extreme = random(0, 7) == 0;  // where saturating 16-bit products would show
  for (int8_t& v : w) v = extreme ? random(0, 1) * 255 - 128 : random(-128, 127);
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
  const uint8_t* given = conv.has_residual ? residual.data() : nullptr;
  Compute({portable, conv, e, weights, x.data(), given, 0}, wanted.data());
  if (!Compute({kernel, conv, e, weights, x.data(), given, random(0, e.out_h)}, y.data())) {
    return "wrote outside of its weights or scratch";
  }
  if (!y.Intact() || !x.Intact() || !residual.Intact()) return "wrote outside of an image";
  if (memcmp(y.data(), wanted.data(), y_bytes) != 0) return "differs from portable";
  for (const uint8_t v : wanted) *spread += v != 0 && v != 255;
  return nullptr;
}

bool TestKernel(const Kernel& kernel, const Kernel& portable) {
  std::vector<Case> cases;
  for (const bool residual : {false, true}) {
    cases.push_back(Square(3, 16, 32, 3, 1, 1, residual));
    cases.push_back(Square(16, 16, 32, 3, 1, 1, residual));
    cases.push_back(Square(16, 32, 32, 3, 2, 1, residual));
    cases.push_back(Square(32, 32, 16, 3, 1, 1, residual));
    cases.push_back(Square(32, 64, 16, 3, 2, 1, residual));
    cases.push_back(Square(64, 64, 8, 3, 1, 1, residual));
    cases.push_back(Square(64, 64, 12, 1, 1, 1, residual));
    cases.push_back(Square(128, 128, 6, 1, 1, 1, residual));
    cases.push_back(Square(128, 192, 9, 3, 1, 1, residual));
    cases.push_back(Square(64, 64, 70, 3, 1, 1, residual));  // more than one piece of scratch
  }
  for (const int stride : {1, 2}) {
    cases.push_back(Square(8, 8, 48, 3, stride, 8, false));
    cases.push_back(Square(64, 64, 12, 3, stride, 64, false));
    cases.push_back(Square(72, 72, 11, 3, stride, 72, false));
    cases.push_back(Square(96, 96, 56, 3, stride, 96, false));
    cases.push_back(Square(16, 16, 49, 3, stride, 16, true));
    cases.push_back(Square(32, 32, 24, 5, stride, 32, false));
    cases.push_back(Square(64, 64, 30, 7, stride, 64, true));  // more than one piece of scratch
    cases.push_back(Square(40, 40, 13, 5, stride, 40, false));
    cases.push_back(Square(24, 48, 21, 3, stride, 24, false));    // two outputs for each channel
    cases.push_back(Square(128, 128, 14, 3, stride, 32, false));  // groups of 4: many to a vector
    cases.push_back(Square(64, 64, 14, 3, stride, 8, true));
    cases.push_back(Square(96, 192, 14, 3, stride, 4, false));  // wider than a vector
    cases.push_back(Square(120, 12, 9, 3, stride, 3, false));   // too deep for one window
    cases.push_back(Square(3, 8, 96, 3, stride, 1, false));
  }
  for (const int pixels : {1, 5, 6, 7, 11, 12, 13, 25, 37}) {  // widths of blocks
    cases.push_back(Square(16, 48, 1, 1, 1, 1, pixels % 2));
    cases.back().extent = {1, pixels, 1, pixels};
    for (const int outputs : {48, 53}) {  // and a last vector that is not full
      cases.push_back(Square(64, outputs, 1, 1, 1, 1, false));
      cases.back().extent = {1, pixels, 1, pixels};
      cases.back().conv.has_real_y = true;
    }
  }
  Random random(7);
  for (int i = 0; i < (squeeze::native::quick ? 300 : 1500); ++i)
    cases.push_back(RandomCase(random));

  int tried = 0, failed = 0;
  long spread = 0;
  for (size_t i = 0; i < cases.size(); ++i) {
    if (!kernel.supports(cases[i].conv)) continue;
    if (squeeze::native::quick && Macs(cases[i]) > kQuickMacs) continue;
    ++tried;
    const char* wrong = Check(kernel, portable, cases[i], static_cast<uint32_t>(i), &spread);
    if (!wrong) continue;
    const Conv& v = cases[i].conv;
    if (++failed <= 5) {
      printf(
          "  %s: case %zu %s: [%d, %d, %d] -> %d, kernel %d x %d, stride %d x %d, dilation %d x "
          "%d, pads %d %d %d %d, "
          "groups %d, residual %d, real %d\n",
          kernel.name, i, wrong, cases[i].extent.in_h, cases[i].extent.in_w, v.in_channels,
          v.out_channels, v.kernel_h, v.kernel_w, v.stride_h, v.stride_w, v.dilation_h,
          v.dilation_w, v.pad_top, v.pad_left, v.pad_bottom, v.pad_right, v.groups, v.has_residual,
          v.has_real_y);
    }
  }
  printf("%s %s: %d cases, %d failed, %ld outputs not saturated\n", failed ? "FAILED" : "ok",
         kernel.name, tried, failed, spread);
  return !failed && tried && spread;
}

}  // namespace

bool TestBytes();
bool TestDetectionFromThreads();
bool TestCodebookKernels();
bool TestCodebookGatherKernels();
bool TestQCodebookKernels();
bool TestLayouts();
bool TestPoolKernels();  // and QAdd
bool TestAddNormKernels();
bool TestByRowKernels();
bool TestAttentionKernels();  // and QRealLookup
bool TestLsqKernels();

int main(int argc, char** argv) {
  squeeze::native::quick = argc > 1 && strcmp(argv[1], "quick") == 0;
  const bool detected = TestDetectionFromThreads();  // before anybody else asks
  const squeeze::Isa isa = squeeze::DetectIsa();
  const Kernel& portable = *squeeze::product::kKernels[squeeze::product::kKernelCount - 1];
  bool ok = detected && portable.isa == squeeze::Isa::kPortable;
  for (int i = 0; i < squeeze::product::kKernelCount; ++i) {
    const Kernel& kernel = *squeeze::product::kKernels[i];
    if (kernel.isa > isa) {
      printf("skipped %s: this CPU has only %s\n", kernel.name,
             squeeze::kIsaNames[static_cast<int>(isa)]);
    } else {
      ok = TestKernel(kernel, portable) && ok;
    }
  }
#if defined(__x86_64__)
  if (isa >= squeeze::Isa::kX86Avx512Vnni) {
    puts("with tiles emulated:");
    ok = TestKernel(squeeze::product::emulated__x86_amx, portable) && ok;
  }
#endif
  ok = TestCodebookKernels() && ok;
  ok = TestCodebookGatherKernels() && ok;
  ok = TestLayouts() && ok;
  ok = TestPoolKernels() && ok;
  ok = TestAddNormKernels() && ok;
  ok = TestByRowKernels() && ok;
  ok = TestAttentionKernels() && ok;
  ok = TestLsqKernels() && ok;
  ok = TestBytes() && ok;
  ok = TestQCodebookKernels() && ok;
  return ok ? 0 : 1;
}
