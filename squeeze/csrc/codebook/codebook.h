// CodebookConv and CodebookGemm: float convolutions and matrix products whose weights are indices
// into codebooks. The contract.
//
//   y[o] = bias[o] + sum x * weight[o]                 float32; x is 0 outside the image
//   weight j = codebooks[j / bucket][index j], j counted in the order [o, i / groups, kh, kw]
//
// Index j is bits j * bits .. j * bits + bits - 1 of the stream `indices`, least significant first.
//
// The order of summation is a kernel's own, so kernels agree within rounding only. One kernel gives
// the same bytes however a call is cut into tasks.
//
// Images are channels-last, [height, width, channels], without gaps. A matrix product is a 1 x 1
// convolution of an image with one column and a row for each row of the matrix. A kernel packs the
// weights once, still as indices and tables; run() then reads only the packed block. Kernels
// allocate nothing and start no threads.
//
// This header is also read by files that are compiled for one ISA only: nothing in it may emit code
// of its own.
#pragma once

#include "images/geometry.h"

namespace squeeze::codebook {

using images::Extent;

// What a node fixes. Everything is positive or zero and was checked by node.cc.
struct Layer : images::Geometry {
  int32_t bits;    // of an index in the stream: 2, 3 or 4
  int64_t bucket;  // weights per codebook
  // 2, 3 or 4: every output channel has at most 2^table_bits different weights, which then are a
  // table of its own. 0: some channel has more than 16.
  int32_t table_bits;
};

struct Weights {
  const uint8_t* indices;  // the stream
  const float* codebooks;  // [books, 2^bits], finite
  const float* bias;       // [out_channels]
};

// Output rows row_begin .. row_end - 1 and channels channel_begin .. channel_end - 1 of one image.
// x and y point at the whole image. Both channels are multiples of kChannelStep, or the last one is
// out_channels.
struct Task {
  const float* x;  // [in_h, in_w, in_channels]
  float* y;        // [out_h, out_w, out_channels]
  int32_t row_begin, row_end, channel_begin, channel_end;
};

struct Kernel {
  const char* name;
  Isa isa;
  bool (*supports)(const Layer&);
  size_t (*packed_bytes)(const Layer&);
  // `packed` is aligned to kAlignment and zeroed.
  void (*pack)(const Layer&, const Weights&, void* packed);
  // Enough for each task of `rows` rows.
  size_t (*scratch_bytes)(const Layer&, const Extent&, int32_t rows);
  // `scratch` is aligned to kAlignment and belongs to this call.
  void (*run)(const Layer&, const void* packed, const Extent&, const Task&, void* scratch);
};

inline constexpr int32_t kChannelStep = 32;
inline constexpr int kMaxTable = 16;

// All kernels of this build, fastest first; the last one is portable and supports everything.
extern const Kernel* const kKernels[];
extern const int kKernelCount;

// The first kernel for `layer` that `isa` may run.
const Kernel& SelectKernel(const Layer& layer, Isa isa);

// The value of Layer::table_bits, from the other fields.
int32_t TableBits(const Layer& layer, const Weights& weights);

}  // namespace squeeze::codebook
