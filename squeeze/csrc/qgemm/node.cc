#include "qgemm/node.h"

namespace squeeze::qgemm {
namespace {

// Slices are not smaller: at one multiplication per weight it is what a thread is worth.
constexpr int64_t kWeightsPerSlice = 1 << 20;
constexpr int32_t kSliceStep = 64;  // whole blocks of every kernel

int32_t OutputsPerSlice(int64_t inputs, int64_t outputs) {
  int64_t slices = inputs * outputs / kWeightsPerSlice;
  if (slices < 2) return static_cast<int32_t>(outputs);
  if (slices > kMaxSlices) slices = kMaxSlices;
  const int64_t step = kSliceStep * slices;
  return static_cast<int32_t>((outputs + step - 1) / step * kSliceStep);
}

}  // namespace

abi::Status* ReadNodeWithWeights(const Reader& read, const product::Signature& signature,
                                 const Tensor& b, product::Select select, Node* node) {
  product::Scales scales;
  SQUEEZE_RETURN_IF_ERROR(product::ReadScales(read, signature, b.dims[0], &scales));
  return PackNode(read, signature, scales, b, select, node);
}

abi::Status* PackNode(const Reader& read, const product::Signature& signature,
                      const product::Scales& scales, const Tensor& b, product::Select select,
                      Node* node) {
  node->isa = KernelIsa();
  node->residual = signature.tail == product::Tail::kAdd ? signature.ResidualIndex() : 0;
  node->a = scales.x;
  node->y = scales.y;
  node->outputs = static_cast<int32_t>(b.dims[0]);
  node->inputs = static_cast<int32_t>(b.dims[1]);
  node->slice_outputs = OutputsPerSlice(node->inputs, node->outputs);
  node->slices = (node->outputs + node->slice_outputs - 1) / node->slice_outputs;
  node->finish = product::FinishFor(scales, node->isa);

  for (int32_t i = 0; i < node->slices; ++i) {
    const int32_t first = i * node->slice_outputs, left = node->outputs - first;
    const images::Geometry geometry =
        images::PixelByPixel(node->inputs, left < node->slice_outputs ? left : node->slice_outputs);
    SQUEEZE_RETURN_IF_ERROR(product::PackLayer(read, signature, scales, geometry, first,
                                               b.As<int8_t>() + size_t{1} * first * node->inputs,
                                               select, node->isa, &node->layers[i]));
  }
  return nullptr;
}

abi::Status* ReadNode(const abi::Api* api, const abi::KernelInfo* info,
                      const product::Signature& signature, Node* node) {
  node->where = Locate(api, info, signature.op);
  const Reader read(api, info, node->where.text);
  Tensor b;
  SQUEEZE_RETURN_IF_ERROR(read.Constant(3, signature.weights, abi::ElementType::kInt8, &b));
  if (b.rank != 2) {
    return Fail(api, "%s: input %s has rank %zu, expected 2", read.where(), signature.weights,
                b.rank);
  }
  SQUEEZE_RETURN_IF_ERROR(read.CheckWeights("input", signature.weights, b));
  return ReadNodeWithWeights(read, signature, b, product::SelectPlain, node);
}

}  // namespace squeeze::qgemm
