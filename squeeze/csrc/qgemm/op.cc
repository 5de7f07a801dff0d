// QGemm, QGemmAdd, QGemmReal and the QGemmLookups as ONNX Runtime sees them.
#include "product/product_op.h"
#include "qgemm/node.h"

namespace squeeze {
namespace qgemm {
namespace {

using product::Signature;
using product::Tail;

constexpr Signature kPlain = {"QGemm", "a", "b", "b_scale", "gemm", 4, Tail::kNone};
constexpr Signature kAdd = {"QGemmAdd", "a", "b", "b_scale", "gemm", 4, Tail::kAdd};
constexpr Signature kReal = {"QGemmReal", "a", "b", "b_scale", "gemm", 4, Tail::kReal};

}  // namespace
}  // namespace qgemm

OpList QGemm() { return Variants<product::ProductOp<qgemm::kPlain, qgemm::Node>>::kList; }
OpList QGemmAdd() { return Variants<product::ProductOp<qgemm::kAdd, qgemm::Node>>::kList; }
OpList QGemmReal() { return Variants<product::ProductOp<qgemm::kReal, qgemm::Node>>::kList; }

// One kernel under several names: a body belongs to a name, and each function that the layers of a
// file have behind them has a body of its own.
#define SQUEEZE_LOOKUP(name)                                                            \
  namespace qgemm {                                                                     \
  namespace {                                                                           \
  constexpr Signature k##name = {#name, "a", "b", "b_scale", "gemm", 4, Tail::kLookup}; \
  }                                                                                     \
  }                                                                                     \
  OpList name() { return Variants<product::ProductOp<qgemm::k##name, qgemm::Node>>::kList; }
SQUEEZE_LOOKUP(QGemmLookup)
SQUEEZE_LOOKUP(QGemmLookup2)
SQUEEZE_LOOKUP(QGemmLookup3)
SQUEEZE_LOOKUP(QGemmLookup4)
SQUEEZE_LOOKUP(QGemmLookup5)
SQUEEZE_LOOKUP(QGemmLookup6)
SQUEEZE_LOOKUP(QGemmLookup7)
SQUEEZE_LOOKUP(QGemmLookup8)
#undef SQUEEZE_LOOKUP

}  // namespace squeeze
