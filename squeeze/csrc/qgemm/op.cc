// QGemm, QGemmAdd and QGemmLookup as ONNX Runtime sees them.
#include "qconv/product_op.h"
#include "qgemm/node.h"

namespace squeeze {
namespace qgemm {
namespace {

using qconv::Signature;
using qconv::Tail;

constexpr Signature kPlain = {"QGemm", "a", "b", "b_scale", "gemm", 4, Tail::kNone};
constexpr Signature kAdd = {"QGemmAdd", "a", "b", "b_scale", "gemm", 4, Tail::kAdd};
constexpr Signature kLookup = {"QGemmLookup", "a", "b", "b_scale", "gemm", 4, Tail::kLookup};

}  // namespace
}  // namespace qgemm

OpList QGemm() { return Variants<qconv::ProductOp<qgemm::kPlain, qgemm::Node>>::kList; }
OpList QGemmAdd() { return Variants<qconv::ProductOp<qgemm::kAdd, qgemm::Node>>::kList; }
OpList QGemmLookup() { return Variants<qconv::ProductOp<qgemm::kLookup, qgemm::Node>>::kList; }

}  // namespace squeeze
