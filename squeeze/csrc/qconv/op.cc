// QConv, QConvAdd and QConvLookup as ONNX Runtime sees them.
#include "base/ort_glue.h"
#include "qconv/node.h"

namespace squeeze {
namespace qconv {
namespace {

constexpr Signature kPlain = {"QConv", "x", "w", "w_scale", "conv", 4, Tail::kNone};
constexpr Signature kAdd = {"QConvAdd", "x", "w", "w_scale", "conv", 4, Tail::kAdd};
constexpr Signature kLookup = {"QConvLookup", "x", "w", "w_scale", "conv", 4, Tail::kLookup};

template <const Signature& kSignature>
class QConvKernel {
 public:
  static constexpr const char* kName = kSignature.op;
  static constexpr size_t kInputCount = kSignature.InputCount();
  static constexpr size_t kOutputCount = 1;
  static constexpr size_t kVariantCount = qconv::kVariantCount;
  static constexpr abi::ElementType InputType(size_t variant, size_t index) {
    return qconv::InputType(variant, index);
  }
  static constexpr abi::ElementType OutputType(size_t variant, size_t) { return YType(variant); }

  explicit QConvKernel(const abi::Api* api) : api_(api) {}
  abi::Status* Initialise(const abi::KernelInfo* info) {
    return ReadNode(api_, info, kSignature, &node_);
  }
  abi::Status* Compute(abi::KernelContext* context) const {
    return qconv::Compute(api_, context, node_);
  }

 private:
  const abi::Api* api_;
  Node node_;
};

}  // namespace
}  // namespace qconv

OpList QConv() { return Variants<qconv::QConvKernel<qconv::kPlain>>::kList; }
OpList QConvAdd() { return Variants<qconv::QConvKernel<qconv::kAdd>>::kList; }
OpList QConvLookup() { return Variants<qconv::QConvKernel<qconv::kLookup>>::kList; }

}  // namespace squeeze
