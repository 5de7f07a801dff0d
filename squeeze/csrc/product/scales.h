// The inputs that the quantised convolutions and matrix products share: scales, bias, and what
// follows the product. Checked, with messages that speak of the op's own input names.
#pragma once

#include "base/inputs.h"

namespace squeeze::product {

// What happens to the product: rounded it is y, or a residual is added, or a table is applied; or
// it is y as it is, in float.
enum class Tail { kNone, kAdd, kLookup, kReal };

// How one op calls its inputs, and where they are. They come in the order
//   x, x_scale, x_zero_point, [weights], w_scale, bias, then the tail:
//   kNone:   y_scale, y_zero_point
//   kAdd:    product_scale, product_zero_point, residual, residual_scale, residual_zero_point,
//            y_scale, y_zero_point
//   kLookup: product_scale, product_zero_point, table, and, for the body alone and not in older
//            files, y_scale, y_zero_point
//   kReal:   nothing
struct Signature {
  const char* op;
  const char* x;
  const char* weights;
  const char* weights_scale;
  const char* product;
  size_t weights_scale_index;
  Tail tail;

  // The name of what the product is rounded to.
  constexpr const char* Rounded() const { return tail == Tail::kNone ? "y" : product; }
  constexpr bool IsReal() const { return tail == Tail::kReal; }
  constexpr size_t TailIndex() const { return weights_scale_index + 2; }
  constexpr size_t ResidualIndex() const { return weights_scale_index + 4; }
  constexpr size_t InputCount() const {
    constexpr size_t kOfTail[] = {2, 7, 5, 0};
    return TailIndex() + kOfTail[static_cast<int>(tail)];
  }
  constexpr size_t RequiredCount() const {
    return tail == Tail::kLookup ? TailIndex() + 3 : InputCount();
  }
};

// The four variants of an op whose inputs are as above, with one input of weights: the type of x,
// and that of the product, the residual, the table and y. The runtime takes no node whose types are
// those of none, so a tensor always has the type of its zero point. With a real y the first two.
constexpr size_t VariantCount(const Signature& signature) { return signature.IsReal() ? 2 : 4; }

constexpr abi::ElementType XType(size_t variant) {
  return variant % 2 ? abi::ElementType::kInt8 : abi::ElementType::kUint8;
}
constexpr abi::ElementType YType(size_t variant) {
  return variant / 2 ? abi::ElementType::kInt8 : abi::ElementType::kUint8;
}
constexpr abi::ElementType OutputType(const Signature& signature, size_t variant) {
  return signature.IsReal() ? abi::ElementType::kFloat : YType(variant);
}
// Of the input `offset` places behind the weights.
constexpr abi::ElementType TypeBehindWeights(size_t variant, size_t offset) {
  using abi::ElementType;
  constexpr bool kFloat[] = {true, false, true, false, false, true, false, true, false};
  if (kFloat[offset]) return ElementType::kFloat;
  return offset == 1 ? ElementType::kInt32 : YType(variant);
}
constexpr abi::ElementType InputType(size_t variant, size_t index) {
  using abi::ElementType;
  if (index == 3) return ElementType::kInt8;
  if (index > 3) return TypeBehindWeights(variant, index - 4);
  return index == 1 ? ElementType::kFloat : XType(variant);
}

struct Scales {
  Quantisation x, product, residual, y;  // without a tail, y is the product; 1 and 0 for a real y
  const float* w;                        // [outputs]
  const int32_t* bias;                   // [outputs]
  const uint8_t* table;                  // 256 bytes, null without one
};

// `outputs`: what w_scale and bias have to have.
abi::Status* ReadScales(const Reader& read, const Signature& signature, int64_t outputs,
                        Scales* scales);

}  // namespace squeeze::product
