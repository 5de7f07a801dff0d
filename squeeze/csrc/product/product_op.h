// A quantised product as ONNX Runtime sees it: the class behind an op whose weights are one int8
// input. ReadNode and RunNode are those of the namespace of `Node`.
#pragma once

#include "base/ort_glue.h"
#include "product/scales.h"

namespace squeeze::product {

template <const Signature& kSignature, typename Node>
class ProductOp {
 public:
  static constexpr const char* kName = kSignature.op;
  static constexpr size_t kInputCount = kSignature.InputCount();
  static constexpr size_t kRequiredCount = kSignature.RequiredCount();
  static constexpr size_t kOutputCount = 1;
  static constexpr size_t kVariantCount = VariantCount(kSignature);
  static constexpr abi::ElementType InputType(size_t variant, size_t index) {
    return product::InputType(variant, index);
  }
  static constexpr abi::ElementType OutputType(size_t variant, size_t) {
    return product::OutputType(kSignature, variant);
  }

  explicit ProductOp(const abi::Api* api) : api_(api) {}
  abi::Status* Initialise(const abi::KernelInfo* info) {
    return ReadNode(api_, info, kSignature, &node_);
  }
  abi::Status* Compute(abi::KernelContext* context) const { return RunNode(api_, context, node_); }

 private:
  const abi::Api* api_;
  Node node_;
};

}  // namespace squeeze::product
