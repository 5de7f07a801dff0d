// What a matrix product node says: read, checked, packed. And the run of one call of it.
//
// A product is a 1x1 convolution over an image of one row, whose pixels are the rows of a; so the
// kernels of product/ compute it. Large weights are cut into slices of outputs, each packed for
// itself: with one row of a nothing else could be shared out among threads.
#pragma once

#include "product/layer.h"

namespace squeeze::qgemm {

inline constexpr int32_t kMaxSlices = 16;

struct Node {
  Where where;
  Isa isa;          // what this CPU and SQUEEZE_ISA allow
  size_t residual;  // index of that input, 0 without one
  Quantisation a, y;
  int32_t inputs, outputs;
  int32_t slices, slice_outputs;  // the last slice may have less
  product::Layer layers[kMaxSlices];
  product::Finish finish;
};

// Reads a node with the int8 weights as input 3.
abi::Status* ReadNode(const abi::Api* api, const abi::KernelInfo* info,
                      const product::Signature& signature, Node* node);

// The same for weights [outputs, inputs] that come otherwise, of sizes that were checked.
// `weights.type` is not read. node->where is set by the caller, and `select` chooses the kernel.
abi::Status* ReadNodeWithWeights(const Reader& read, const product::Signature& signature,
                                 const Tensor& weights, product::Select select, Node* node);

// The same where the scales are known.
abi::Status* PackNode(const Reader& read, const product::Signature& signature,
                      const product::Scales& scales, const Tensor& weights, product::Select select,
                      Node* node);

// What is done to the numbers `first` .. `first` + count - 1 of a row of a float y, while they are
// in the cache.
struct Behind {
  void (*run)(const void* user, size_t row, size_t first, size_t count, float* y);
  const void* user;
};

// Input 0 of one call, and the shape of y. y is not made.
abi::Status* ReadRows(const abi::Api* api, abi::KernelContext* context, const Node& node, Tensor* a,
                      Tensor* y);

// y of `rows` rows of a, both u8 or y float; residual and behind may be null.
abi::Status* RunRows(const abi::Api* api, abi::KernelContext* context, const Node& node,
                     const uint8_t* a, const uint8_t* residual, uint8_t* y, int64_t rows,
                     const Behind* behind);

// One call: reads a and the residual, and writes y.
abi::Status* RunNode(const abi::Api* api, abi::KernelContext* context, const Node& node);

}  // namespace squeeze::qgemm
