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

abi::Status* ReadInput(const abi::Api* api, const abi::KernelContext* context, const char* where,
                       size_t index, Tensor* tensor) {
  const abi::Value* value = nullptr;
  SQUEEZE_RETURN_IF_ERROR(abi::kGetInput(api, context, index, &value));
  return ReadTensor(api, where, value, tensor);
}

abi::Status* MakeOutput(const abi::Api* api, abi::KernelContext* context, Tensor* y, size_t index) {
  abi::Value* output = nullptr;
  SQUEEZE_RETURN_IF_ERROR(abi::kGetOutput(api, context, index, y->dims, y->rank, &output));
  return abi::kGetTensorMutableData(api, output, &y->data);
}

Shape ShapeOf(const Tensor& tensor) {
  Shape shape;
  size_t used = 0;
  for (size_t i = 0; i < tensor.rank && used < sizeof shape.text; ++i) {
    used += snprintf(shape.text + used, sizeof shape.text - used, "%s%lld", i ? ", " : "[",
                     static_cast<long long>(tensor.dims[i]));
  }
  if (used < sizeof shape.text) {
    snprintf(shape.text + used, sizeof shape.text - used, tensor.rank ? "]" : "[]");
  }
  return shape;
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

}  // namespace squeeze
