// The inputs that QAdd and QConcat share: a, a_scale, a_zero_point, b, b_scale, b_zero_point,
// y_scale, y_zero_point. All tensors of a node are u8, or all are s8.
#pragma once

#include "base/inputs.h"

namespace squeeze::qadd {

inline constexpr size_t kInputCount = 8;
inline constexpr size_t kVariantCount = 2;  // u8, s8

constexpr abi::ElementType OutputType(size_t variant) {
  return variant ? abi::ElementType::kInt8 : abi::ElementType::kUint8;
}
constexpr abi::ElementType InputType(size_t variant, size_t index) {
  const bool is_scale = index == 1 || index == 4 || index == 6;
  return is_scale ? abi::ElementType::kFloat : OutputType(variant);
}

struct Operands {
  uint8_t a_zero_point, b_zero_point, y_zero_point;  // of the u8 twins
  uint8_t flip;                                      // 0x80 where the tensors are s8, else 0
  float a_ratio, b_ratio;                            // a_scale / y_scale, b_scale / y_scale
};

abi::Status* ReadOperands(const Reader& read, Operands* operands);

// Inputs 0 and 3.
abi::Status* ReadTensors(const abi::Api* api, const char* where, const abi::KernelContext* context,
                         Tensor* a, Tensor* b);

}  // namespace squeeze::qadd
