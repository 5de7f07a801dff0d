// What a convolution node says: read, checked, with its kernel chosen and its weights packed. And
// the run of one call of it.
#pragma once

#include "images/attributes.h"
#include "product/layer.h"

namespace squeeze::qconv {

struct Node {
  Where where;
  Isa isa;          // what this CPU and SQUEEZE_ISA allow
  size_t rank;      // of x and y: 4, or 3 for one dimension, which runs as an image of height 1
  size_t residual;  // index of that input, 0 without one
  images::Order x_order, y_order;
  Quantisation x, y;
  product::Layer layer;
  product::Finish finish;
};

// Reads a node with the int8 weights as input 3.
abi::Status* ReadNode(const abi::Api* api, const abi::KernelInfo* info,
                      const product::Signature& signature, Node* node);

// The same for weights that come otherwise: [outputs, inputs / group, (kernel_h,) kernel_w], of
// sizes that were checked. `weights.type` is not read. node->where is set by the caller, and
// `select` chooses the kernel.
abi::Status* ReadNodeWithWeights(const Reader& read, const product::Signature& signature,
                                 const Tensor& weights, product::Select select, Node* node);

// One call: reads x and the residual, and writes y.
abi::Status* RunNode(const abi::Api* api, abi::KernelContext* context, const Node& node);

}  // namespace squeeze::qconv
