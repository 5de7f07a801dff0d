// Quantised convolutions whose weights stay indices into tables: kernels with the contract, the
// arithmetic and the types of product.h. The contract of the packed weights.
//
// pack() gets the int8 weights, and finds the different levels that each output channel uses. With
// at most 4 or 16 of them, an index of 2 or 4 bits and a table for each channel stand for the
// weights, whatever the node's codebooks looked like (3 bits become 4). run() decodes them in
// registers, or a few channels at a time into scratch.
//
// This header is also read by files that are compiled for one ISA only: nothing in it may emit code
// of its own.
#pragma once

#include "product/product.h"

namespace squeeze::qcodebook {

struct Kernel {
  int32_t table_bits;      // of an index in memory, 2 or 4
  product::Kernel kernel;  // takes weights with at most 2^table_bits levels in each channel
};

// All kernels of this build, fastest first.
extern const Kernel* const kKernels[];
extern const int kKernelCount;

// 2 or 4, whichever suffices for every channel; 0: some channel uses more than 16 levels.
int32_t TableBits(const product::Conv& conv, const product::Weights& weights);

// The first kernel that `isa` may run. Where only the portable one takes a layer that has a vector
// kernel in product/ (groups), and where TableBits is 0, it is one of product/: weights then are
// int8 in memory.
const product::Kernel& SelectKernel(const product::Conv& conv, const product::Weights& weights,
                                    Isa isa);

}  // namespace squeeze::qcodebook
