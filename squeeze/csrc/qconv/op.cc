// QConv, QConvAdd and the QConvLookups as ONNX Runtime sees them.
#include "product/product_op.h"
#include "qconv/node.h"

namespace squeeze {
namespace qconv {
namespace {

using product::Signature;
using product::Tail;

constexpr Signature kPlain = {"QConv", "x", "w", "w_scale", "conv", 4, Tail::kNone};
constexpr Signature kAdd = {"QConvAdd", "x", "w", "w_scale", "conv", 4, Tail::kAdd};

}  // namespace
}  // namespace qconv

OpList QConv() { return Variants<product::ProductOp<qconv::kPlain, qconv::Node>>::kList; }
OpList QConvAdd() { return Variants<product::ProductOp<qconv::kAdd, qconv::Node>>::kList; }

// One kernel under several names: a body belongs to a name, and each function that the layers of a
// file have behind them has a body of its own.
#define SQUEEZE_LOOKUP(name)                                                            \
  namespace qconv {                                                                     \
  namespace {                                                                           \
  constexpr Signature k##name = {#name, "x", "w", "w_scale", "conv", 4, Tail::kLookup}; \
  }                                                                                     \
  }                                                                                     \
  OpList name() { return Variants<product::ProductOp<qconv::k##name, qconv::Node>>::kList; }
SQUEEZE_LOOKUP(QConvLookup)
SQUEEZE_LOOKUP(QConvLookup2)
SQUEEZE_LOOKUP(QConvLookup3)
SQUEEZE_LOOKUP(QConvLookup4)
SQUEEZE_LOOKUP(QConvLookup5)
SQUEEZE_LOOKUP(QConvLookup6)
SQUEEZE_LOOKUP(QConvLookup7)
SQUEEZE_LOOKUP(QConvLookup8)
#undef SQUEEZE_LOOKUP

}  // namespace squeeze
