// Between ONNX Runtime and our ops: errors with text, tensors, attributes, and the answers of a
// custom op.
#pragma once

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

// "Op 'node name'", cut to fit; the beginning of every message.
struct Where {
  char text[128];
};
Where Locate(const abi::Api* api, const abi::KernelInfo* info, const char* op);

// Input `index`, called `name`, which has to be a constant of `type`.
abi::Status* ReadConstant(const abi::Api* api, const abi::KernelInfo* info, const char* where,
                          size_t index, const char* name, abi::ElementType type, Tensor* tensor);

// Attribute `name` with exactly `count` integers.
abi::Status* ReadInts(const abi::Api* api, const abi::KernelInfo* info, const char* where,
                      const char* name, int64_t* values, size_t count);
abi::Status* ReadInt(const abi::Api* api, const abi::KernelInfo* info, const char* where,
                     const char* name, int64_t* value);

// The runtime's view of an op whose kernel is a class `Kernel` with
//   static constexpr const char* kName; static constexpr size_t kInputCount, kOutputCount;
//   static constexpr abi::ElementType kInputs[], kOutputs[];
//   explicit Kernel(const abi::Api*);
//   abi::Status* Initialise(const abi::KernelInfo*);
//   abi::Status* Compute(abi::KernelContext*) const;    called from several threads at once
template <typename Kernel>
struct Op : abi::CustomOp {
  using Base = abi::CustomOp;
  Op() {
    get_name = [](const Base*) { return Kernel::kName; };
    get_execution_provider = [](const Base*) -> const char* { return nullptr; };
    get_input_type = [](const Base*, size_t i) { return Kernel::kInputs[i]; };
    get_input_count = [](const Base*) { return Kernel::kInputCount; };
    get_output_type = [](const Base*, size_t i) { return Kernel::kOutputs[i]; };
    get_output_count = [](const Base*) { return Kernel::kOutputCount; };
    destroy_kernel = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
    get_input_characteristic = [](const Base*, size_t) { return 0; };
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

}  // namespace squeeze
