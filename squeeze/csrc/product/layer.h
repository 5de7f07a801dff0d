// One packed kernel with its requantisation, and the run of one task of it. Convolutions and matrix
// products are made of these.
#pragma once

#include "base/memory.h"
#include "product/product.h"
#include "product/scales.h"

namespace squeeze::product {

struct Layer {
  Conv conv;
  const Kernel* kernel;
  Memory packed;
};

// Makes the layer of the outputs `first` .. `first` + geometry.out_channels - 1. `w` are the
// weights of these outputs, and `select` chooses their kernel.
abi::Status* PackLayer(const Reader& read, const Signature& signature, const Scales& scales,
                       const images::Geometry& geometry, int32_t first, const int8_t* w,
                       Select select, Isa isa, Layer* layer);

// Makes y of a kernel's bytes, which are u8 and know no table.
struct Finish {
  Isa isa;
  bool turns_signs, has_table;
  uint8_t table[256];

  void Apply(uint8_t* bytes, size_t count) const;
};
Finish FinishFor(const Scales& scales, Isa isa);

// Runs `task` and finishes its rows of y while they are in the cache. `scratch_bytes`: what the
// kernel asked for. False when there is no memory.
bool RunTask(const Layer& layer, const Finish& finish, const Extent& extent, const Task& task,
             size_t scratch_bytes);

}  // namespace squeeze::product
