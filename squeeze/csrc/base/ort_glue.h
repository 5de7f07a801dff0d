// Between ONNX Runtime and our ops: errors with text, tensors, attributes, and the answers of a
// custom op.
#pragma once

#include <utility>

#include "base/ort_abi.h"

namespace squeeze {

// Returns from the caller with the status of a runtime call that failed.
#define SQUEEZE_RETURN_IF_ERROR(expression)              \
  do {                                                   \
    if (::squeeze::abi::Status* failed = (expression)) { \
      return failed;                                     \
    }                                                    \
  } while (0)

// A status with a formatted text, cut at 512 bytes. Say where, what we got, and what is allowed.
[[gnu::format(printf, 2, 3)]] abi::Status* Fail(const abi::Api* api, const char* format, ...);

inline constexpr size_t kMaxRank = 8;

struct Tensor {
  abi::ElementType type;
  size_t rank;
  int64_t dims[kMaxRank];
  void* data;

  int64_t Count() const {
    int64_t count = 1;
    for (size_t i = 0; i < rank; ++i) count *= dims[i];
    return count;
  }
  template <typename T>
  const T* As() const {
    return static_cast<const T*>(data);
  }
};

// The shape, type and memory of `value`; `where` begins the message when its rank is beyond
// kMaxRank.
abi::Status* ReadTensor(const abi::Api* api, const char* where, const abi::Value* value,
                        Tensor* tensor);

// Input `index` of a call.
abi::Status* ReadInput(const abi::Api* api, const abi::KernelContext* context, const char* where,
                       size_t index, Tensor* tensor);

// Makes output `index` of a call, of the shape of `y`, and sets y->data to its memory.
abi::Status* MakeOutput(const abi::Api* api, abi::KernelContext* context, Tensor* y,
                        size_t index = 0);

// "[2, 8, 8, 16]", for messages.
struct Shape {
  char text[128];
};
Shape ShapeOf(const Tensor& tensor);

// "Op 'node name'", cut to fit; the beginning of every message.
struct Where {
  char text[128];
};
Where Locate(const abi::Api* api, const abi::KernelInfo* info, const char* op);

// The runtime's view of an op: all variants of one name, which differ in element types only. The
// runtime picks one by the types of the inputs.
struct OpList {
  const abi::CustomOp* const* ops;
  size_t count;
};

// One variant of an op whose kernel is a class `Kernel` with
//   static constexpr const char* kName; static constexpr size_t kInputCount, kOutputCount;
//   static constexpr size_t kVariantCount;
//   static constexpr size_t kRequiredCount;    where the last inputs may be left out
//   static constexpr abi::ElementType InputType(size_t variant, size_t index);
//   static constexpr abi::ElementType OutputType(size_t variant, size_t index);
//   explicit Kernel(const abi::Api*);
//   abi::Status* Initialise(const abi::KernelInfo*);
//   abi::Status* Compute(abi::KernelContext*) const;    called from several threads at once
template <typename Kernel>
struct Op : abi::CustomOp {
  using Base = abi::CustomOp;
  size_t variant;
  constexpr explicit Op(size_t which) : variant(which) {
    get_name = [](const Base*) { return Kernel::kName; };
    get_execution_provider = [](const Base*) -> const char* { return nullptr; };
    get_input_type = [](const Base* op, size_t i) {
      return Kernel::InputType(static_cast<const Op*>(op)->variant, i);
    };
    get_input_count = [](const Base*) { return Kernel::kInputCount; };
    get_output_type = [](const Base* op, size_t i) {
      return Kernel::OutputType(static_cast<const Op*>(op)->variant, i);
    };
    get_output_count = [](const Base*) { return Kernel::kOutputCount; };
    destroy_kernel = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
    get_input_characteristic = [](const Base*, size_t i) {
      if constexpr (requires { Kernel::kRequiredCount; }) return i < Kernel::kRequiredCount ? 0 : 1;
      return 0;
    };
    get_output_characteristic = [](const Base*, size_t) { return 0; };
    get_input_memory_type = [](const Base*, size_t) { return 0; };
    create_kernel_v2 = [](const Base*, const abi::Api* api, const abi::KernelInfo* info,
                          void** out) -> abi::Status* {
      auto* kernel = new Kernel(api);
      *out = nullptr;
      if (abi::Status* status = kernel->Initialise(info)) {
        delete kernel;
        return status;
      }
      *out = kernel;
      return nullptr;
    };
    compute_v2 = [](void* kernel, abi::KernelContext* context) {
      return static_cast<const Kernel*>(kernel)->Compute(context);
    };
  }
};

template <typename Kernel, typename Indices = std::make_index_sequence<Kernel::kVariantCount>>
struct Variants;

template <typename Kernel, size_t... kIndex>
struct Variants<Kernel, std::index_sequence<kIndex...>> {
  static constexpr Op<Kernel> kOps[] = {Op<Kernel>(kIndex)...};
  static constexpr const abi::CustomOp* kPointers[] = {&kOps[kIndex]...};
  static constexpr OpList kList = {kPointers, sizeof...(kIndex)};
};

}  // namespace squeeze
