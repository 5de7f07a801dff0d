#include "product/scales.h"

namespace squeeze::product {
namespace {

using abi::ElementType;

abi::Status* ReadPerOutput(const Reader& read, size_t index, const char* name, ElementType type,
                           int64_t outputs, Tensor* tensor) {
  SQUEEZE_RETURN_IF_ERROR(read.Constant(index, name, type, tensor));
  if (tensor->Count() == outputs) return nullptr;
  return Fail(read.api(), "%s: input %s has %lld values, expected one for each of %lld outputs",
              read.where(), name, static_cast<long long>(tensor->Count()),
              static_cast<long long>(outputs));
}

}  // namespace

abi::Status* ReadScales(const Reader& read, const Signature& signature, int64_t outputs,
                        Scales* scales) {
  Tensor w_scale, bias;
  const size_t at = signature.weights_scale_index, tail = signature.TailIndex();
  SQUEEZE_RETURN_IF_ERROR(read.Quantised(1, signature.x, &scales->x));
  SQUEEZE_RETURN_IF_ERROR(
      ReadPerOutput(read, at, signature.weights_scale, ElementType::kFloat, outputs, &w_scale));
  SQUEEZE_RETURN_IF_ERROR(ReadPerOutput(read, at + 1, "bias", ElementType::kInt32, outputs, &bias));
  scales->product = {1, 0, false};
  if (!signature.IsReal()) {
    SQUEEZE_RETURN_IF_ERROR(read.Quantised(tail, signature.Rounded(), &scales->product));
  }
  scales->w = w_scale.As<float>();
  scales->bias = bias.As<int32_t>();
  scales->residual = {1, 0, scales->product.is_signed};
  scales->y = scales->product;
  scales->table = nullptr;
  if (signature.tail == Tail::kAdd) {
    SQUEEZE_RETURN_IF_ERROR(read.Quantised(tail + 3, "residual", &scales->residual));
    SQUEEZE_RETURN_IF_ERROR(read.Quantised(tail + 5, "y", &scales->y));
  }
  if (signature.tail == Tail::kLookup) {
    Tensor table;
    const ElementType type = scales->y.is_signed ? ElementType::kInt8 : ElementType::kUint8;
    SQUEEZE_RETURN_IF_ERROR(read.Constant(tail + 2, "table", type, &table));
    if (table.rank != 1 || table.dims[0] != 256) {
      return Fail(read.api(), "%s: input table has the shape %s, expected [256]", read.where(),
                  ShapeOf(table).text);
    }
    scales->table = table.As<uint8_t>();
  }
  return nullptr;
}

}  // namespace squeeze::product
