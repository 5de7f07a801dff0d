#include "base/ort_glue.h"

#include <stdarg.h>
#include <stdio.h>

namespace squeeze {

abi::Status* Fail(const abi::Api* api, const char* format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return abi::kCreateStatus(api, abi::ErrorCode::kInvalidArgument, text);
}

abi::Status* ReadTensor(const abi::Api* api, const char* where, const abi::Value* value,
                        Tensor* tensor) {
  abi::TensorInfo* info = nullptr;
  SQUEEZE_RETURN_IF_ERROR(abi::kGetTensorTypeAndShape(api, value, &info));
  abi::Status* status = abi::kGetTensorElementType(api, info, &tensor->type);
  if (!status) status = abi::kGetDimensionsCount(api, info, &tensor->rank);
  if (!status && tensor->rank > kMaxRank) {
    status = Fail(api, "%s: a tensor of rank %zu, at most %zu is allowed", where, tensor->rank,
                  kMaxRank);
  }
  if (!status) status = abi::kGetDimensions(api, info, tensor->dims, tensor->rank);
  abi::kReleaseTensorInfo(api, info);
  if (status) return status;
  return abi::kGetTensorMutableData(api, const_cast<abi::Value*>(value), &tensor->data);
}

Where Locate(const abi::Api* api, const abi::KernelInfo* info, const char* op) {
  char name[80] = "";
  size_t bytes = sizeof name;
  if (abi::Status* status = abi::kGetNodeName(api, info, name, &bytes)) {
    abi::kReleaseStatus(api, status);  // longer than our buffer: the op alone has to do
    name[0] = '\0';
  }
  Where where;
  snprintf(where.text, sizeof where.text, "%s '%s'", op, name);
  return where;
}

abi::Status* ReadConstant(const abi::Api* api, const abi::KernelInfo* info, const char* where,
                          size_t index, const char* name, abi::ElementType type, Tensor* tensor) {
  int is_constant = 0;
  const abi::Value* value = nullptr;
  SQUEEZE_RETURN_IF_ERROR(abi::kGetConstantInput(api, info, index, &is_constant, &value));
  if (!is_constant || !value) {
    return Fail(api, "%s: input %s must be a constant, got a computed value", where, name);
  }
  SQUEEZE_RETURN_IF_ERROR(ReadTensor(api, where, value, tensor));
  if (tensor->type != type) {
    return Fail(api, "%s: input %s has element type %d, expected %d", where, name,
                static_cast<int>(tensor->type), static_cast<int>(type));
  }
  return nullptr;
}

abi::Status* ReadInts(const abi::Api* api, const abi::KernelInfo* info, const char* where,
                      const char* name, int64_t* values, size_t count) {
  size_t got = 0;
  if (abi::Status* status = abi::kGetAttributeInts(api, info, name, nullptr, &got)) {
    abi::kReleaseStatus(api, status);
    return Fail(api, "%s: attribute %s is missing or no list of integers, expected %zu integers",
                where, name, count);
  }
  if (got != count) {
    return Fail(api, "%s: attribute %s has %zu values, expected %zu", where, name, got, count);
  }
  return abi::kGetAttributeInts(api, info, name, values, &got);
}

abi::Status* ReadInt(const abi::Api* api, const abi::KernelInfo* info, const char* where,
                     const char* name, int64_t* value) {
  abi::Status* status = abi::kGetAttributeInt(api, info, name, value);
  if (!status) return nullptr;
  abi::kReleaseStatus(api, status);
  return Fail(api, "%s: attribute %s is missing or no integer", where, name);
}

}  // namespace squeeze
