#include "qadd/operands.h"

namespace squeeze::qadd {

// Beyond it a rounded sum might not fit 32 bits; no trained model comes near.
constexpr float kMaxRatio = 1 << 20;

abi::Status* ReadOperands(const Reader& read, Operands* operands) {
  Quantisation a, b, y;
  SQUEEZE_RETURN_IF_ERROR(read.Quantised(1, "a", &a));
  SQUEEZE_RETURN_IF_ERROR(read.Quantised(4, "b", &b));
  SQUEEZE_RETURN_IF_ERROR(read.Quantised(6, "y", &y));
  *operands = {a.zero_point,      b.zero_point,
               y.zero_point,      static_cast<uint8_t>(y.is_signed ? 0x80 : 0),
               a.scale / y.scale, b.scale / y.scale};
  if (operands->a_ratio < kMaxRatio && operands->b_ratio < kMaxRatio) return nullptr;
  return Fail(read.api(), "%s: a_scale and b_scale must be below 2^20 * y_scale, got %g, %g and %g",
              read.where(), static_cast<double>(a.scale), static_cast<double>(b.scale),
              static_cast<double>(y.scale));
}

abi::Status* ReadTensors(const abi::Api* api, const char* where, const abi::KernelContext* context,
                         Tensor* a, Tensor* b) {
  SQUEEZE_RETURN_IF_ERROR(ReadInput(api, context, where, 0, a));
  return ReadInput(api, context, where, 3, b);
}

}  // namespace squeeze::qadd
