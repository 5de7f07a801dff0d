// QCodebookConv, QCodebookConvAdd, QCodebookGemm and QCodebookGemmReal as ONNX Runtime sees them:
// QConv, QConvAdd, QGemm and QGemmReal but for the weights.
#include "base/ort_glue.h"
#include "qcodebook/qcodebook.h"
#include "qcodebook/weights.h"
#include "qconv/node.h"
#include "qgemm/node.h"

namespace squeeze {
namespace qcodebook {
namespace {

using abi::ElementType;
using product::Signature;
using product::Tail;

constexpr Signature kConv = {"QCodebookConv", "x",    "w_shape",  "w_scale",
                             "conv",          kScale, Tail::kNone};
constexpr Signature kConvAdd = {"QCodebookConvAdd", "x", "w_shape", "w_scale", "conv", kScale,
                                Tail::kAdd};
constexpr Signature kGemm = {"QCodebookGemm", "a",    "w_shape",  "w_scale",
                             "gemm",          kScale, Tail::kNone};
constexpr Signature kGemmReal = {"QCodebookGemmReal", "a", "w_shape", "w_scale", "gemm", kScale,
                                 Tail::kReal};

// ReadNodeWithWeights and RunNode are those of the namespace of `Node`.
template <const Signature& kSignature, typename Node, size_t kLeastRank, size_t kMostRank>
class CodedOp {
 public:
  static constexpr const char* kName = kSignature.op;
  static constexpr size_t kInputCount = kSignature.InputCount();
  static constexpr size_t kOutputCount = 1;
  static constexpr size_t kVariantCount = product::VariantCount(kSignature);
  static constexpr ElementType InputType(size_t variant, size_t index) {
    if (index == kIndices) return ElementType::kUint8;
    if (index == kCodebooks) return ElementType::kInt8;
    return index < kIndices ? product::InputType(variant, index)
                            : product::TypeBehindWeights(variant, index - kScale);
  }
  static constexpr ElementType OutputType(size_t variant, size_t) {
    return product::OutputType(kSignature, variant);
  }

  explicit CodedOp(const abi::Api* api) : api_(api) {}
  abi::Status* Initialise(const abi::KernelInfo* info) {
    node_.where = Locate(api_, info, kName);
    const Reader read(api_, info, node_.where.text);
    Memory memory;
    Tensor w;
    SQUEEZE_RETURN_IF_ERROR(ReadWeights(read, kLeastRank, kMostRank, &memory, &w));
    return ReadNodeWithWeights(read, kSignature, w, SelectKernel, &node_);
  }
  abi::Status* Compute(abi::KernelContext* context) const { return RunNode(api_, context, node_); }

 private:
  const abi::Api* api_;
  Node node_;
};

}  // namespace
}  // namespace qcodebook

OpList QCodebookConv() {
  return Variants<qcodebook::CodedOp<qcodebook::kConv, qconv::Node, 3, 4>>::kList;
}
OpList QCodebookConvAdd() {
  return Variants<qcodebook::CodedOp<qcodebook::kConvAdd, qconv::Node, 3, 4>>::kList;
}
OpList QCodebookGemm() {
  return Variants<qcodebook::CodedOp<qcodebook::kGemm, qgemm::Node, 2, 2>>::kList;
}
OpList QCodebookGemmReal() {
  return Variants<qcodebook::CodedOp<qcodebook::kGemmReal, qgemm::Node, 2, 2>>::kList;
}

}  // namespace squeeze
