#include "base/inputs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

namespace squeeze {

using abi::ElementType;

abi::Status* Reader::AnyConstant(size_t index, const char* name, Tensor* tensor) const {
  int is_constant = 0;
  const abi::Value* value = nullptr;
  SQUEEZE_RETURN_IF_ERROR(abi::kGetConstantInput(api_, info_, index, &is_constant, &value));
  if (!is_constant || !value) {
    return Fail(api_, "%s: input %s must be a constant, got a computed value", where_, name);
  }
  return ReadTensor(api_, where_, value, tensor);
}

abi::Status* Reader::Constant(size_t index, const char* name, ElementType type,
                              Tensor* tensor) const {
  SQUEEZE_RETURN_IF_ERROR(AnyConstant(index, name, tensor));
  if (tensor->type != type) {
    return Fail(api_, "%s: input %s has element type %d, expected %d", where_, name,
                static_cast<int>(tensor->type), static_cast<int>(type));
  }
  return nullptr;
}

abi::Status* Reader::Bytes(size_t index, const char* name, Tensor* tensor) const {
  SQUEEZE_RETURN_IF_ERROR(AnyConstant(index, name, tensor));
  if (tensor->type == ElementType::kUint8 || tensor->type == ElementType::kInt8) return nullptr;
  return Fail(api_, "%s: input %s has element type %d, expected uint8 or int8", where_, name,
              static_cast<int>(tensor->type));
}

abi::Status* Reader::Scale(size_t index, const char* name, float* scale) const {
  Tensor tensor;
  SQUEEZE_RETURN_IF_ERROR(Constant(index, name, ElementType::kFloat, &tensor));
  if (tensor.Count() != 1) {
    return Fail(api_, "%s: input %s has %lld values, expected 1", where_, name,
                static_cast<long long>(tensor.Count()));
  }
  *scale = *tensor.As<float>();
  if (!isfinite(*scale) || *scale <= 0) {
    return Fail(api_, "%s: input %s must be positive and finite, got %g", where_, name,
                static_cast<double>(*scale));
  }
  return nullptr;
}

abi::Status* Reader::Quantised(size_t index, const char* tensor, Quantisation* to) const {
  char name[64];
  snprintf(name, sizeof name, "%s_scale", tensor);
  SQUEEZE_RETURN_IF_ERROR(Scale(index, name, &to->scale));
  snprintf(name, sizeof name, "%s_zero_point", tensor);
  Tensor zero_point;
  SQUEEZE_RETURN_IF_ERROR(AnyConstant(index + 1, name, &zero_point));
  to->is_signed = zero_point.type == ElementType::kInt8;
  if ((!to->is_signed && zero_point.type != ElementType::kUint8) || zero_point.Count() != 1) {
    return Fail(api_, "%s: input %s has %lld values of element type %d, expected one uint8 or int8",
                where_, name, static_cast<long long>(zero_point.Count()),
                static_cast<int>(zero_point.type));
  }
  to->zero_point = to->is_signed ? static_cast<uint8_t>(*zero_point.As<int8_t>() + 128)
                                 : *zero_point.As<uint8_t>();
  return nullptr;
}

size_t Reader::CountInts(const char* name) const {
  size_t count = 0;
  if (abi::Status* status = abi::kGetAttributeInts(api_, info_, name, nullptr, &count)) {
    abi::kReleaseStatus(api_, status);
    return 0;
  }
  return count;
}

abi::Status* Reader::Ints(const char* name, int64_t* values, size_t count) const {
  size_t got = 0;
  if (abi::Status* status = abi::kGetAttributeInts(api_, info_, name, nullptr, &got)) {
    abi::kReleaseStatus(api_, status);
    return Fail(api_, "%s: attribute %s is missing or no list of integers, expected %zu integers",
                where_, name, count);
  }
  if (got != count) {
    return Fail(api_, "%s: attribute %s has %zu values, expected %zu", where_, name, got, count);
  }
  return abi::kGetAttributeInts(api_, info_, name, values, &got);
}

abi::Status* Reader::Sizes(const char* name, int64_t low, size_t count, int32_t* const* to) const {
  int64_t values[8];
  SQUEEZE_RETURN_IF_ERROR(Ints(name, values, count));
  for (size_t i = 0; i < count; ++i) {
    if (values[i] < low || values[i] > kMaxSize) {
      return Fail(api_, "%s: attribute %s has the value %lld, expected %lld to %lld", where_, name,
                  static_cast<long long>(values[i]), static_cast<long long>(low),
                  static_cast<long long>(kMaxSize));
    }
    *to[i] = static_cast<int32_t>(values[i]);
  }
  return nullptr;
}

abi::Status* Reader::Int(const char* name, int64_t low, int64_t high, int64_t* value) const {
  if (abi::Status* status = abi::kGetAttributeInt(api_, info_, name, value)) {
    abi::kReleaseStatus(api_, status);
    return Fail(api_, "%s: attribute %s is missing or no integer", where_, name);
  }
  if (*value >= low && *value <= high) return nullptr;
  return Fail(api_, "%s: attribute %s is %lld, expected %lld to %lld", where_, name,
              static_cast<long long>(*value), static_cast<long long>(low),
              static_cast<long long>(high));
}

abi::Status* Reader::Positive(const char* name, float* value) const {
  if (abi::Status* status = abi::kGetAttributeFloat(api_, info_, name, value)) {
    abi::kReleaseStatus(api_, status);
    return Fail(api_, "%s: attribute %s is missing or no number", where_, name);
  }
  if (isfinite(*value) && *value > 0) return nullptr;
  return Fail(api_, "%s: attribute %s must be positive and finite, got %g", where_, name,
              static_cast<double>(*value));
}

abi::Status* Reader::Floats(size_t index, const char* name, size_t count, float* to) const {
  Tensor tensor;
  SQUEEZE_RETURN_IF_ERROR(Constant(index, name, ElementType::kFloat, &tensor));
  if (tensor.rank != 1 || tensor.dims[0] != static_cast<int64_t>(count)) {
    return Fail(api_, "%s: input %s has the shape %s, expected [%zu]", where_, name,
                ShapeOf(tensor).text, count);
  }
  memcpy(to, tensor.As<float>(), count * sizeof *to);
  return nullptr;
}

abi::Status* Reader::WeightShape(size_t least_rank, size_t most_rank, Tensor* w) const {
  const size_t rank = CountInts("w_shape");
  *w = {};
  w->rank = rank ? rank : most_rank;  // of none, Ints() says what is wrong
  if (w->rank < least_rank || w->rank > most_rank) {
    return Fail(api_, "%s: attribute w_shape has %zu values, expected %zu to %zu", where_, rank,
                least_rank, most_rank);
  }
  SQUEEZE_RETURN_IF_ERROR(Ints("w_shape", w->dims, w->rank));
  return CheckWeights("attribute", "w_shape", *w);
}

abi::Status* Reader::CheckWeights(const char* kind, const char* name, const Tensor& w) const {
  int64_t count = 1;
  for (size_t i = 0; i < w.rank; ++i) {
    if (w.dims[i] >= 1 && w.dims[i] <= kMaxSize && (count *= w.dims[i]) <= kMaxWeights) continue;
    return Fail(api_, "%s: %s %s is %s, expected sizes from 1 to %lld and at most %lld weights",
                where_, kind, name, ShapeOf(w).text, static_cast<long long>(kMaxSize),
                static_cast<long long>(kMaxWeights));
  }
  return nullptr;
}

}  // namespace squeeze
