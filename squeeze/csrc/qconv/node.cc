#include "qconv/node.h"

namespace squeeze::qconv {

abi::Status* ReadNodeWithWeights(const Reader& read, const product::Signature& signature,
                                 const Tensor& w, product::Select select, Node* node) {
  images::Geometry geometry = {};
  SQUEEZE_RETURN_IF_ERROR(images::ReadGeometry(read, w, &geometry));
  SQUEEZE_RETURN_IF_ERROR(images::ReadOrders(read, w.rank, &node->x_order, &node->y_order));
  product::Scales scales;
  SQUEEZE_RETURN_IF_ERROR(product::ReadScales(read, signature, geometry.out_channels, &scales));
  node->isa = KernelIsa();
  node->rank = w.rank;
  node->residual = signature.tail == product::Tail::kAdd ? signature.ResidualIndex() : 0;
  node->x = scales.x;
  node->y = scales.y;
  node->finish = product::FinishFor(scales, node->isa);
  return product::PackLayer(read, signature, scales, geometry, 0, w.As<int8_t>(), select, node->isa,
                            &node->layer);
}

abi::Status* ReadNode(const abi::Api* api, const abi::KernelInfo* info,
                      const product::Signature& signature, Node* node) {
  node->where = Locate(api, info, signature.op);
  const Reader read(api, info, node->where.text);
  Tensor w;
  SQUEEZE_RETURN_IF_ERROR(read.Constant(3, signature.weights, abi::ElementType::kInt8, &w));
  if (w.rank != 3 && w.rank != 4) {
    return Fail(api, "%s: input %s has rank %zu, expected 4, or 3 for one dimension", read.where(),
                signature.weights, w.rank);
  }
  SQUEEZE_RETURN_IF_ERROR(read.CheckWeights("input", signature.weights, w));
  return ReadNodeWithWeights(read, signature, w, product::SelectPlain, node);
}

}  // namespace squeeze::qconv
