// Our declarations in ort_abi.h against the official header, at compile time: nothing of this gets
// into the library. Compiled only with -DSQUEEZE_ORT_INCLUDE=<folder of onnxruntime_c_api.h>.
#include <onnxruntime_c_api.h>

#include <type_traits>

#include "base/ort_abi.h"

// The header marks results that must be used; templates take such types without the mark.
#pragma GCC diagnostic ignored "-Wignored-attributes"

namespace squeeze::abi {
namespace {

static_assert(ORT_API_VERSION >= kApiVersion,
              "ort_check: this onnxruntime_c_api.h is older than version 17 of the interface");

// Whether two types are passed alike. Handles are pointers to structs on both sides, enumerations
// are numbers.
template <typename Ours, typename Theirs>
constexpr bool Alike();

template <typename Ours, typename Theirs>
struct SameCall : std::false_type {};
template <typename R, typename... A, typename S, typename... B>
  requires(sizeof...(A) == sizeof...(B))
struct SameCall<R(A...), S(B...)> : std::bool_constant<Alike<R, S>() && (Alike<A, B>() && ...)> {};
template <typename R, typename... A, typename S, typename... B>
struct SameCall<R(A...), S(B...) noexcept> : SameCall<R(A...), S(B...)> {};
template <typename R, typename... A, typename Theirs>
struct SameCall<Entry<R, A...>, Theirs> : SameCall<R(A...), Theirs> {};

template <typename T>
constexpr bool kIsNumber = std::is_integral_v<T> || std::is_enum_v<T>;

template <typename Ours, typename Theirs>
constexpr bool Alike() {
  using O = std::remove_cv_t<Ours>;
  using T = std::remove_cv_t<Theirs>;
  if constexpr (std::is_pointer_v<O> && std::is_pointer_v<T>) {
    using OursTo = std::remove_cv_t<std::remove_pointer_t<O>>;
    using TheirsTo = std::remove_cv_t<std::remove_pointer_t<T>>;
    if constexpr (std::is_function_v<OursTo> || std::is_function_v<TheirsTo>) {
      return SameCall<OursTo, TheirsTo>::value;
    } else {
      return std::is_void_v<OursTo> || std::is_void_v<TheirsTo> ||
             (std::is_class_v<OursTo> && std::is_class_v<TheirsTo>) || Alike<OursTo, TheirsTo>();
    }
  } else if constexpr (kIsNumber<O> && kIsNumber<T>) {
    return sizeof(O) == sizeof(T);
  } else {
    return std::is_same_v<O, T>;
  }
}

#define CHECK_ENTRY(entry, name)                                                    \
  static_assert(entry.slot * sizeof(void*) == offsetof(OrtApi, name),               \
                "ort_abi.h: the slot of " #entry " is not that of OrtApi::" #name); \
  static_assert(SameCall<std::remove_cv_t<decltype(entry)>,                         \
                         std::remove_pointer_t<decltype(OrtApi::name)>>::value,     \
                "ort_abi.h: " #entry " has other arguments or another result than OrtApi::" #name)

CHECK_ENTRY(kCreateStatus, CreateStatus);
CHECK_ENTRY(kCreateCustomOpDomain, CreateCustomOpDomain);
CHECK_ENTRY(kCustomOpDomainAdd, CustomOpDomain_Add);
CHECK_ENTRY(kAddCustomOpDomain, AddCustomOpDomain);
CHECK_ENTRY(kGetTensorMutableData, GetTensorMutableData);
CHECK_ENTRY(kGetTensorElementType, GetTensorElementType);
CHECK_ENTRY(kGetDimensionsCount, GetDimensionsCount);
CHECK_ENTRY(kGetDimensions, GetDimensions);
CHECK_ENTRY(kGetTensorTypeAndShape, GetTensorTypeAndShape);
CHECK_ENTRY(kGetAttributeFloat, KernelInfoGetAttribute_float);
CHECK_ENTRY(kGetAttributeInt, KernelInfoGetAttribute_int64);
CHECK_ENTRY(kGetInput, KernelContext_GetInput);
CHECK_ENTRY(kGetOutput, KernelContext_GetOutput);
CHECK_ENTRY(kReleaseStatus, ReleaseStatus);
CHECK_ENTRY(kReleaseTensorInfo, ReleaseTensorTypeAndShapeInfo);
CHECK_ENTRY(kReleaseCustomOpDomain, ReleaseCustomOpDomain);
CHECK_ENTRY(kGetAttributeInts, KernelInfoGetAttributeArray_int64);
CHECK_ENTRY(kGetNodeName, KernelInfo_GetNodeName);
CHECK_ENTRY(kGetConstantInput, KernelInfoGetConstantInput_tensor);
CHECK_ENTRY(kParallelFor, KernelContext_ParallelFor);

#define CHECK_FIELD(ours, field, theirs, name)                                              \
  static_assert(offsetof(ours, field) == offsetof(theirs, name),                            \
                "ort_abi.h: " #ours "::" #field " is not where " #theirs "::" #name " is"); \
  static_assert(Alike<decltype(ours::field), decltype(theirs::name)>(),                     \
                "ort_abi.h: " #ours "::" #field " has another type than " #theirs "::" #name)

CHECK_FIELD(ApiBase, get_api, OrtApiBase, GetApi);
CHECK_FIELD(ApiBase, get_version_string, OrtApiBase, GetVersionString);

CHECK_FIELD(CustomOp, version, OrtCustomOp, version);
CHECK_FIELD(CustomOp, create_kernel, OrtCustomOp, CreateKernel);
CHECK_FIELD(CustomOp, get_name, OrtCustomOp, GetName);
CHECK_FIELD(CustomOp, get_execution_provider, OrtCustomOp, GetExecutionProviderType);
CHECK_FIELD(CustomOp, get_input_type, OrtCustomOp, GetInputType);
CHECK_FIELD(CustomOp, get_input_count, OrtCustomOp, GetInputTypeCount);
CHECK_FIELD(CustomOp, get_output_type, OrtCustomOp, GetOutputType);
CHECK_FIELD(CustomOp, get_output_count, OrtCustomOp, GetOutputTypeCount);
CHECK_FIELD(CustomOp, compute, OrtCustomOp, KernelCompute);
CHECK_FIELD(CustomOp, destroy_kernel, OrtCustomOp, KernelDestroy);
CHECK_FIELD(CustomOp, get_input_characteristic, OrtCustomOp, GetInputCharacteristic);
CHECK_FIELD(CustomOp, get_output_characteristic, OrtCustomOp, GetOutputCharacteristic);
CHECK_FIELD(CustomOp, get_input_memory_type, OrtCustomOp, GetInputMemoryType);
CHECK_FIELD(CustomOp, get_variadic_input_min_arity, OrtCustomOp, GetVariadicInputMinArity);
CHECK_FIELD(CustomOp, get_variadic_input_homogeneity, OrtCustomOp, GetVariadicInputHomogeneity);
CHECK_FIELD(CustomOp, get_variadic_output_min_arity, OrtCustomOp, GetVariadicOutputMinArity);
CHECK_FIELD(CustomOp, get_variadic_output_homogeneity, OrtCustomOp, GetVariadicOutputHomogeneity);
CHECK_FIELD(CustomOp, create_kernel_v2, OrtCustomOp, CreateKernelV2);
CHECK_FIELD(CustomOp, compute_v2, OrtCustomOp, KernelComputeV2);
CHECK_FIELD(CustomOp, infer_output_shape, OrtCustomOp, InferOutputShapeFn);
CHECK_FIELD(CustomOp, get_start_version, OrtCustomOp, GetStartVersion);
CHECK_FIELD(CustomOp, get_end_version, OrtCustomOp, GetEndVersion);

#define CHECK_VALUE(ours, theirs)                                   \
  static_assert(static_cast<int>(ours) == static_cast<int>(theirs), \
                "ort_abi.h: " #ours " is not " #theirs)

CHECK_VALUE(ErrorCode::kFail, ORT_FAIL);
CHECK_VALUE(ErrorCode::kInvalidArgument, ORT_INVALID_ARGUMENT);
CHECK_VALUE(ErrorCode::kRuntimeException, ORT_RUNTIME_EXCEPTION);
CHECK_VALUE(ElementType::kFloat, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
CHECK_VALUE(ElementType::kUint8, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8);
CHECK_VALUE(ElementType::kInt8, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8);
CHECK_VALUE(ElementType::kInt32, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32);
CHECK_VALUE(ElementType::kInt64, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64);
CHECK_VALUE(0, INPUT_OUTPUT_REQUIRED);
CHECK_VALUE(0, OrtMemTypeDefault);

}  // namespace
}  // namespace squeeze::abi
