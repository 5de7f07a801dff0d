// QConv, QConvAdd and QConvLookup as ONNX Runtime sees them.
#include "qconv/node.h"
#include "qconv/product_op.h"

namespace squeeze {
namespace qconv {
namespace {

constexpr Signature kPlain = {"QConv", "x", "w", "w_scale", "conv", 4, Tail::kNone};
constexpr Signature kAdd = {"QConvAdd", "x", "w", "w_scale", "conv", 4, Tail::kAdd};
constexpr Signature kLookup = {"QConvLookup", "x", "w", "w_scale", "conv", 4, Tail::kLookup};

}  // namespace
}  // namespace qconv

OpList QConv() { return Variants<qconv::ProductOp<qconv::kPlain, qconv::Node>>::kList; }
OpList QConvAdd() { return Variants<qconv::ProductOp<qconv::kAdd, qconv::Node>>::kList; }
OpList QConvLookup() { return Variants<qconv::ProductOp<qconv::kLookup, qconv::Node>>::kList; }

}  // namespace squeeze
