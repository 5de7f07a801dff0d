#include "qgemm/node.h"

namespace squeeze::qgemm {
namespace {

constexpr int64_t kMaxWeights = 1 << 30;
// Slices are not smaller: at one multiplication per weight it is what a thread is worth.
constexpr int64_t kWeightsPerSlice = 1 << 20;
constexpr int32_t kSliceStep = 64;  // whole blocks of every kernel

abi::Status* CheckWeights(const Reader& read, const qconv::Signature& signature, const Tensor& b) {
  if (b.rank != 2) {
    return Fail(read.api(), "%s: input %s has rank %zu, expected 2", read.where(),
                signature.weights, b.rank);
  }
  const int64_t n = b.dims[0], k = b.dims[1];
  if (n >= 1 && k >= 1 && n <= kMaxSize && k <= kMaxSize && n * k <= kMaxWeights) return nullptr;
  return Fail(read.api(),
              "%s: input %s is %s, expected sizes from 1 to %lld and at most %lld values",
              read.where(), signature.weights, ShapeOf(b).text, static_cast<long long>(kMaxSize),
              static_cast<long long>(kMaxWeights));
}

int32_t OutputsPerSlice(int64_t inputs, int64_t outputs) {
  int64_t slices = inputs * outputs / kWeightsPerSlice;
  if (slices < 2) return static_cast<int32_t>(outputs);
  if (slices > kMaxSlices) slices = kMaxSlices;
  const int64_t step = kSliceStep * slices;
  return static_cast<int32_t>((outputs + step - 1) / step * kSliceStep);
}

}  // namespace

abi::Status* ReadNodeWithWeights(const Reader& read, const qconv::Signature& signature,
                                 const Tensor& b, qconv::Select select, Node* node) {
  SQUEEZE_RETURN_IF_ERROR(CheckWeights(read, signature, b));
  qconv::Scales scales;
  SQUEEZE_RETURN_IF_ERROR(qconv::ReadScales(read, signature, b.dims[0], &scales));
  // RegisterCustomOps refused an unknown name; it was changed since.
  if (!SelectIsa(&node->isa)) node->isa = Isa::kPortable;
  node->residual = signature.tail == qconv::Tail::kAdd ? signature.ResidualIndex() : 0;
  node->a = scales.x;
  node->y = scales.y;
  node->outputs = static_cast<int32_t>(b.dims[0]);
  node->inputs = static_cast<int32_t>(b.dims[1]);
  node->slice_outputs = OutputsPerSlice(node->inputs, node->outputs);
  node->slices = (node->outputs + node->slice_outputs - 1) / node->slice_outputs;
  node->finish = qconv::FinishFor(scales, node->isa);

  qconv::Conv product = {};
  product.in_channels = node->inputs;
  product.groups = product.kernel_h = product.kernel_w = 1;
  product.stride_h = product.stride_w = product.dilation_h = product.dilation_w = 1;
  for (int32_t i = 0; i < node->slices; ++i) {
    const int32_t first = i * node->slice_outputs, left = node->outputs - first;
    product.out_channels = left < node->slice_outputs ? left : node->slice_outputs;
    SQUEEZE_RETURN_IF_ERROR(qconv::PackLayer(read, signature, scales, product, first,
                                             b.As<int8_t>() + size_t{1} * first * node->inputs,
                                             select, node->isa, &node->layers[i]));
  }
  return nullptr;
}

abi::Status* ReadNode(const abi::Api* api, const abi::KernelInfo* info,
                      const qconv::Signature& signature, Node* node) {
  node->where = Locate(api, info, signature.op);
  const Reader read(api, info, node->where.text);
  Tensor b;
  SQUEEZE_RETURN_IF_ERROR(read.Constant(3, signature.weights, abi::ElementType::kInt8, &b));
  return ReadNodeWithWeights(read, signature, b, qconv::SelectPlain, node);
}

}  // namespace squeeze::qgemm
