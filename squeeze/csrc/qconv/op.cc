// QConv, QConvAdd and QConvLookup as ONNX Runtime sees them.
#include "product/product_op.h"
#include "qconv/node.h"

namespace squeeze {
namespace qconv {
namespace {

using product::Signature;
using product::Tail;

constexpr Signature kPlain = {"QConv", "x", "w", "w_scale", "conv", 4, Tail::kNone};
constexpr Signature kAdd = {"QConvAdd", "x", "w", "w_scale", "conv", 4, Tail::kAdd};
constexpr Signature kLookup = {"QConvLookup", "x", "w", "w_scale", "conv", 4, Tail::kLookup};

}  // namespace
}  // namespace qconv

OpList QConv() { return Variants<product::ProductOp<qconv::kPlain, qconv::Node>>::kList; }
OpList QConvAdd() { return Variants<product::ProductOp<qconv::kAdd, qconv::Node>>::kList; }
OpList QConvLookup() { return Variants<product::ProductOp<qconv::kLookup, qconv::Node>>::kList; }

}  // namespace squeeze
