// Every codebook kernel against the portable one: equal but for the rounding of sums, the same
// bytes however the work is cut, nothing read or written outside the buffers.
#include "codebook/codebook.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <vector>

#include "native/guarded.h"

namespace {

using squeeze::codebook::Extent;
using squeeze::codebook::kChannelStep;
using squeeze::codebook::Kernel;
using squeeze::codebook::Layer;
using squeeze::codebook::Task;
using squeeze::codebook::Weights;
using squeeze::native::Guarded;
using squeeze::native::Random;

// Of sum |x * w|: room for a few thousand rounded additions in any order.
constexpr double kTolerance = 2e-5;

struct Case {
  Layer layer;
  Extent extent;
};

enum class Books { kPerChannel, kOne, kAcrossChannels };

int OutputSize(int size, int before, int after, int kernel, int dilation, int stride) {
  const int room = size + before + after - ((kernel - 1) * dilation + 1);
  return room < 0 ? 0 : room / stride + 1;
}

void SetOutput(Case* c) {
  const Layer& v = c->layer;
  c->extent.out_h =
      OutputSize(c->extent.in_h, v.pad_top, v.pad_bottom, v.kernel_h, v.dilation_h, v.stride_h);
  c->extent.out_w =
      OutputSize(c->extent.in_w, v.pad_left, v.pad_right, v.kernel_w, v.dilation_w, v.stride_w);
}

Case Square(int in, int out, int size, int kernel, int stride, int bits) {
  Case c = {};
  c.layer.in_channels = in, c.layer.out_channels = out, c.layer.groups = 1;
  c.layer.kernel_h = c.layer.kernel_w = kernel;
  c.layer.stride_h = c.layer.stride_w = stride;
  c.layer.dilation_h = c.layer.dilation_w = 1;
  c.layer.pad_top = c.layer.pad_left = c.layer.pad_bottom = c.layer.pad_right = kernel / 2;
  c.layer.bits = bits;
  c.extent.in_h = c.extent.in_w = size;
  SetOutput(&c);
  return c;
}

Case Product(int rows, int in, int out, int bits) {
  Case c = Square(in, out, 1, 1, 1, bits);
  c.extent = {rows, 1, rows, 1};
  return c;
}

int PerOutput(const Layer& layer) {
  return layer.in_channels / layer.groups * layer.kernel_h * layer.kernel_w;
}

// Shapes around the tiles: one less, equal, one more, primes, and everything asymmetric.
Case RandomCase(Random& random) {
  constexpr int kChannels[] = {1,  2,  3,  4,  5,  7,  8,  9,  13, 15, 16,
                               17, 24, 31, 32, 33, 40, 48, 63, 64, 65};
  constexpr int kRows[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 64, 65};
  constexpr int kDepths[] = {1, 3, 7, 8, 15, 16, 17, 31, 100, 127, 128, 129, 160, 161, 256, 300};
  constexpr int kSizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 23};
  constexpr int kKernels[] = {1, 1, 2, 3, 3, 3, 5};
  if (random(0, 1)) {
    return Product(random.Pick(kRows), random.Pick(kDepths), random.Pick(kChannels), random(2, 4));
  }
  Case c = Square(random.Pick(kChannels), random.Pick(kChannels), 1, 3, 1, random(2, 4));
  if (random(0, 7) == 0) {
    c.layer.groups = random(2, 4);
    c.layer.in_channels = c.layer.groups * random(1, 9);
    c.layer.out_channels = c.layer.groups * random(1, 9);
  }
  c.layer.kernel_h = random.Pick(kKernels);
  c.layer.kernel_w = random(0, 3) ? c.layer.kernel_h : random.Pick(kKernels);
  c.layer.dilation_h = random(0, 4) ? 1 : 2;
  c.layer.dilation_w = random(0, 4) ? 1 : random(1, 3);
  c.layer.stride_h = random(0, 1) ? 1 : random(1, 3);
  c.layer.stride_w = random(0, 3) ? c.layer.stride_h : random(1, 3);
  const int same = random(0, 1) ? c.layer.kernel_h / 2 : -1;
  int32_t* const pads[] = {&c.layer.pad_top, &c.layer.pad_left, &c.layer.pad_bottom,
                           &c.layer.pad_right};
  for (int32_t* pad : pads) *pad = same >= 0 ? same : random(0, 3);
  do {
    c.extent.in_h = random.Pick(kSizes);
    c.extent.in_w = random.Pick(kSizes);
    SetOutput(&c);
  } while (c.extent.out_h < 1 || c.extent.out_w < 1);
  return c;
}

// Weights from the codebooks by the definition in codebook.h, bit by bit.
std::vector<float> Decode(const Layer& layer, const Weights& weights) {
  std::vector<float> w(size_t{1} * layer.out_channels * PerOutput(layer));
  for (size_t j = 0; j < w.size(); ++j) {
    int index = 0;
    for (int b = 0; b < layer.bits; ++b) {
      const size_t t = j * layer.bits + b;
      index |= (weights.indices[t / 8] >> t % 8 & 1) << b;
    }
    w[j] = weights.codebooks[j / layer.bucket * (1 << layer.bits) + index];
  }
  return w;
}

// Sums in double precision, and the sums of absolute products.
void Expected(const Case& c, const std::vector<float>& w, const float* bias, const float* x,
              std::vector<double>* sums, std::vector<double>* sizes) {
  const Layer& v = c.layer;
  const int per_group = v.in_channels / v.groups;
  for (int row = 0; row < c.extent.out_h; ++row) {
    for (int column = 0; column < c.extent.out_w; ++column) {
      for (int o = 0; o < v.out_channels; ++o) {
        double sum = bias[o], size = fabs(bias[o]);
        const int first = o / (v.out_channels / v.groups) * per_group;
        for (int i = 0; i < per_group; ++i) {
          for (int kh = 0; kh < v.kernel_h; ++kh) {
            for (int kw = 0; kw < v.kernel_w; ++kw) {
              const int h = row * v.stride_h + kh * v.dilation_h - v.pad_top;
              const int l = column * v.stride_w + kw * v.dilation_w - v.pad_left;
              if (h < 0 || h >= c.extent.in_h || l < 0 || l >= c.extent.in_w) continue;
              const double product =
                  double{x[(h * c.extent.in_w + l) * v.in_channels + first + i]} *
                  w[((size_t{1} * o * per_group + i) * v.kernel_h + kh) * v.kernel_w + kw];
              sum += product;
              size += fabs(product);
            }
          }
        }
        sums->push_back(sum);
        sizes->push_back(size);
      }
    }
  }
}

// False when a guard was hit. `row` and `channel`: where other tasks begin.
bool Compute(const Kernel& kernel, const Case& c, const Weights& weights, const float* x, int row,
             int channel, float* y) {
  const size_t packed_bytes = kernel.packed_bytes(c.layer);
  const Guarded packed(packed_bytes, squeeze::kAlignment);
  memset(packed.data(), 0, packed_bytes);
  kernel.pack(c.layer, weights, packed.data());
  const int rows[] = {0, row, c.extent.out_h}, channels[] = {0, channel, c.layer.out_channels};
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 2; ++j) {
      if (rows[i] == rows[i + 1] || channels[j] == channels[j + 1]) continue;
      const size_t bytes = kernel.scratch_bytes(c.layer, c.extent, rows[i + 1] - rows[i]);
      const Guarded scratch(bytes, squeeze::kAlignment);
      const Task task = {x, y, rows[i], rows[i + 1], channels[j], channels[j + 1]};
      kernel.run(c.layer, packed.data(), c.extent, task, scratch.data());
      if (!scratch.Intact()) return false;
    }
  }
  return packed.Intact();
}

// Null when all is well; else what is wrong.
const char* Check(const Kernel& kernel, Case c, Books books, uint32_t seed) {
  Random random(seed);
  Layer& layer = c.layer;
  const size_t count = size_t{1} * layer.out_channels * PerOutput(layer);
  layer.bucket = books == Books::kPerChannel ? PerOutput(layer)
                 : books == Books::kOne      ? static_cast<int64_t>(count)
                                             : random(1, static_cast<int>(count));
  const size_t values = (count + layer.bucket - 1) / layer.bucket << layer.bits;
  std::vector<float> codebooks(values), bias(layer.out_channels);
  for (float& v : codebooks) v = static_cast<float>(random(-1000, 1000)) / 1000;
  for (float& v : bias) v = static_cast<float>(random(-1000, 1000)) / 500;
  const Guarded stream((count * layer.bits + 7) / 8);
  for (size_t i = 0; i < (count * layer.bits + 7) / 8; ++i) stream.data()[i] = random(0, 255);
  const Weights weights = {stream.data(), codebooks.data(), bias.data()};
  layer.table_bits = squeeze::codebook::TableBits(layer, weights);
  if (books != Books::kAcrossChannels && layer.table_bits < 2) return "has no tables";
  if (!kernel.supports(layer)) return nullptr;

  const Extent& e = c.extent;
  const size_t x_floats = size_t{1} * e.in_h * e.in_w * layer.in_channels;
  const size_t y_floats = size_t{1} * e.out_h * e.out_w * layer.out_channels;
  const Guarded x(x_floats * 4), y(y_floats * 4), cut(y_floats * 4);
  auto* x_data = reinterpret_cast<float*>(x.data());
  auto* y_data = reinterpret_cast<float*>(y.data());
  for (size_t i = 0; i < x_floats; ++i) x_data[i] = static_cast<float>(random(-999, 999)) / 300;
  std::vector<double> sums, sizes;
  Expected(c, Decode(layer, weights), bias.data(), x_data, &sums, &sizes);

  const int steps = layer.groups == 1 ? (layer.out_channels - 1) / kChannelStep : 0;
  const int channel = random(0, steps) * kChannelStep;
  if (!Compute(kernel, c, weights, x_data, 0, 0, y_data) ||
      !Compute(kernel, c, weights, x_data, random(0, e.out_h), channel,
               reinterpret_cast<float*>(cut.data()))) {
    return "wrote outside of its weights or scratch";
  }
  if (!x.Intact() || !y.Intact() || !cut.Intact()) return "wrote outside of an image";
  for (size_t i = 0; i < y_floats; ++i) {
    if (!(fabs(y_data[i] - sums[i]) <= kTolerance * sizes[i])) return "differs from exact sums";
  }
  if (memcmp(y.data(), cut.data(), y_floats * 4) != 0) return "depends on the cut into tasks";
  return nullptr;
}

bool TestKernel(const Kernel& kernel) {
  std::vector<Case> cases;
  for (const int bits : {2, 3, 4}) {
    cases.push_back(Square(3, 16, 32, 3, 1, bits));
    cases.push_back(Square(16, 32, 16, 3, 2, bits));
    cases.push_back(Square(64, 64, 8, 3, 1, bits));
    cases.push_back(Square(64, 80, 12, 1, 1, bits));
    for (const int rows : {1, 16, 33}) cases.push_back(Product(rows, 384, 200, bits));
  }
  Random random(7);
  for (int i = 0; i < (squeeze::native::quick ? 200 : 1200); ++i)
    cases.push_back(RandomCase(random));

  int tried = 0, failed = 0;
  for (size_t i = 0; i < cases.size(); ++i) {
    if (!kernel.supports(cases[i].layer)) continue;
    ++tried;
    const auto books = static_cast<Books>(i % 4 == 3 ? 0 : i % 4);
    const char* wrong = Check(kernel, cases[i], books, static_cast<uint32_t>(i));
    if (!wrong || ++failed > 5) continue;
    const Layer& v = cases[i].layer;
    const Extent& e = cases[i].extent;
    printf(
        "  %s: case %zu %s: [%d, %d, %d] -> %d, kernel %d x %d, stride %d x %d, dilation %d x %d, "
        "pads %d %d %d %d, groups %d, bits %d, books %d\n",
        kernel.name, i, wrong, e.in_h, e.in_w, v.in_channels, v.out_channels, v.kernel_h,
        v.kernel_w, v.stride_h, v.stride_w, v.dilation_h, v.dilation_w, v.pad_top, v.pad_left,
        v.pad_bottom, v.pad_right, v.groups, v.bits, static_cast<int>(books));
  }
  printf("%s %s: %d cases, %d failed\n", failed ? "FAILED" : "ok", kernel.name, tried, failed);
  return !failed && tried;
}

}  // namespace

bool TestCodebookKernels() {
  const squeeze::Isa isa = squeeze::DetectIsa();
  bool ok = true;
  for (int i = 0; i < squeeze::codebook::kKernelCount; ++i) {
    const Kernel& kernel = *squeeze::codebook::kKernels[i];
    if (kernel.isa > isa) {
      printf("skipped %s: this CPU has only %s\n", kernel.name,
             squeeze::kIsaNames[static_cast<int>(isa)]);
    } else {
      ok = TestKernel(kernel) && ok;
    }
  }
  return ok;
}
