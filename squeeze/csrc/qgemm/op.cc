// QGemm, QGemmAdd and QGemmLookup as ONNX Runtime sees them.
#include "product/product_op.h"
#include "qgemm/node.h"

namespace squeeze {
namespace qgemm {
namespace {

using product::Signature;
using product::Tail;

constexpr Signature kPlain = {"QGemm", "a", "b", "b_scale", "gemm", 4, Tail::kNone};
constexpr Signature kAdd = {"QGemmAdd", "a", "b", "b_scale", "gemm", 4, Tail::kAdd};
constexpr Signature kLookup = {"QGemmLookup", "a", "b", "b_scale", "gemm", 4, Tail::kLookup};

}  // namespace
}  // namespace qgemm

OpList QGemm() { return Variants<product::ProductOp<qgemm::kPlain, qgemm::Node>>::kList; }
OpList QGemmAdd() { return Variants<product::ProductOp<qgemm::kAdd, qgemm::Node>>::kList; }
OpList QGemmLookup() { return Variants<product::ProductOp<qgemm::kLookup, qgemm::Node>>::kList; }

}  // namespace squeeze
