// ONNX Runtime's stable C interface, in our own words: only what our ops call, at API version 17.
//
// The runtime hands out one table of function pointers; an entry never changes its place or
// signature. An Entry is the place of one function together with its type. Handles are opaque: only
// pointers to them exist.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace squeeze::abi {

inline constexpr uint32_t kApiVersion = 17;

struct Api;  // the table
struct CustomOpDomain;
struct KernelContext;
struct KernelInfo;
struct SessionOptions;
struct Status;  // null is success; a non-null one belongs to the caller
struct TensorInfo;
struct Value;

struct ApiBase {
  const Api* (*get_api)(uint32_t version);  // null when the runtime is older than `version`
  const char* (*get_version_string)();
};

enum class ErrorCode : int { kFail = 1, kInvalidArgument = 2, kRuntimeException = 6 };
enum class ElementType : int { kFloat = 1, kUint8 = 2, kInt8 = 3, kInt32 = 6, kInt64 = 7 };

template <typename Result, typename... Args>
struct Entry {
  int slot;
  Result operator()(const Api* api, Args... args) const {
    using Function = Result (*)(Args...);
    return reinterpret_cast<Function>(reinterpret_cast<void* const*>(api)[slot])(args...);
  }
};

inline constexpr Entry<Status*, ErrorCode, const char*> kCreateStatus{0};
inline constexpr Entry<Status*, const char*, CustomOpDomain**> kCreateCustomOpDomain{26};
inline constexpr Entry<Status*, CustomOpDomain*, const struct CustomOp*> kCustomOpDomainAdd{27};
inline constexpr Entry<Status*, SessionOptions*, CustomOpDomain*> kAddCustomOpDomain{28};
inline constexpr Entry<Status*, Value*, void**> kGetTensorMutableData{51};
inline constexpr Entry<Status*, const TensorInfo*, ElementType*> kGetTensorElementType{60};
inline constexpr Entry<Status*, const TensorInfo*, size_t*> kGetDimensionsCount{61};
inline constexpr Entry<Status*, const TensorInfo*, int64_t*, size_t> kGetDimensions{62};
inline constexpr Entry<Status*, const Value*, TensorInfo**> kGetTensorTypeAndShape{65};
inline constexpr Entry<Status*, const KernelInfo*, const char*, float*> kGetAttributeFloat{85};
inline constexpr Entry<Status*, const KernelInfo*, const char*, int64_t*> kGetAttributeInt{86};
inline constexpr Entry<Status*, const KernelContext*, size_t, const Value**> kGetInput{90};
inline constexpr Entry<Status*, KernelContext*, size_t, const int64_t*, size_t, Value**> kGetOutput{
    91};
inline constexpr Entry<void, Status*> kReleaseStatus{93};
inline constexpr Entry<void, TensorInfo*> kReleaseTensorInfo{99};
inline constexpr Entry<void, CustomOpDomain*> kReleaseCustomOpDomain{101};
// Asked with a null buffer it gives the count.
inline constexpr Entry<Status*, const KernelInfo*, const char*, int64_t*, size_t*>
    kGetAttributeInts{163};
// Asked with a null buffer it gives the size with the final NUL.
inline constexpr Entry<Status*, const KernelInfo*, char*, size_t*> kGetNodeName{244};
// The value is not owned by the caller and lives as long as the kernel.
inline constexpr Entry<Status*, const KernelInfo*, size_t, int*, const Value**> kGetConstantInput{
    249};
// Runs function(user, 0 .. total - 1) on the session's own threads and waits. `batches` 0: one work
// item per index.
inline constexpr Entry<Status*, const KernelContext*, void (*)(void*, size_t), size_t, size_t,
                       void*>
    kParallelFor{274};

// What the runtime asks an op. The order is fixed; null entries are not read for our version and
// characteristics.
struct CustomOp {
  uint32_t version = kApiVersion;
  void* (*create_kernel)(const CustomOp*, const Api*, const KernelInfo*) = nullptr;
  const char* (*get_name)(const CustomOp*) = nullptr;
  const char* (*get_execution_provider)(const CustomOp*) = nullptr;
  ElementType (*get_input_type)(const CustomOp*, size_t) = nullptr;
  size_t (*get_input_count)(const CustomOp*) = nullptr;
  ElementType (*get_output_type)(const CustomOp*, size_t) = nullptr;
  size_t (*get_output_count)(const CustomOp*) = nullptr;
  void (*compute)(void*, KernelContext*) = nullptr;
  void (*destroy_kernel)(void*) = nullptr;
  int (*get_input_characteristic)(const CustomOp*, size_t) = nullptr;   // 0: required, 1: optional
  int (*get_output_characteristic)(const CustomOp*, size_t) = nullptr;  // 0: required
  int (*get_input_memory_type)(const CustomOp*, size_t) = nullptr;      // 0: default
  int (*get_variadic_input_min_arity)(const CustomOp*) = nullptr;
  int (*get_variadic_input_homogeneity)(const CustomOp*) = nullptr;
  int (*get_variadic_output_min_arity)(const CustomOp*) = nullptr;
  int (*get_variadic_output_homogeneity)(const CustomOp*) = nullptr;
  Status* (*create_kernel_v2)(const CustomOp*, const Api*, const KernelInfo*, void**) = nullptr;
  Status* (*compute_v2)(void*, KernelContext*) = nullptr;
  // Left null on purpose: older runtimes crash on skipped inputs; value_info in the model serves
  // the same end.
  Status* (*infer_output_shape)(const CustomOp*, void*) = nullptr;
  int (*get_start_version)(const CustomOp*) = nullptr;
  int (*get_end_version)(const CustomOp*) = nullptr;
};

}  // namespace squeeze::abi
