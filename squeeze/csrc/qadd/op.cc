// QAdd as ONNX Runtime sees it.
#include <string.h>

#include "qadd/operands.h"
#include "qadd/qadd.h"

namespace squeeze {
namespace qadd {
namespace {

// Smaller pieces are not worth a thread.
constexpr size_t kBytesPerTask = 64 * 1024;

struct Work {
  const Kernel& kernel;
  const Add& add;
  const uint8_t *a, *b;
  size_t count;
  uint8_t* y;
};

void RunTask(void* user, size_t index) {
  const auto& work = *static_cast<const Work*>(user);
  const size_t at = index * kBytesPerTask;
  const size_t left = work.count - at;
  work.kernel.run(work.add, work.a + at, work.b + at, left < kBytesPerTask ? left : kBytesPerTask,
                  work.y + at);
}

class QAddKernel {
 public:
  static constexpr const char* kName = "QAdd";
  static constexpr size_t kInputCount = qadd::kInputCount;
  static constexpr size_t kOutputCount = 1;
  static constexpr size_t kVariantCount = qadd::kVariantCount;
  static constexpr abi::ElementType InputType(size_t variant, size_t index) {
    return qadd::InputType(variant, index);
  }
  static constexpr abi::ElementType OutputType(size_t variant, size_t) {
    return qadd::OutputType(variant);
  }

  explicit QAddKernel(const abi::Api* api) : api_(api) {}

  abi::Status* Initialise(const abi::KernelInfo* info) {
    where_ = Locate(api_, info, kName);
    Operands read;
    SQUEEZE_RETURN_IF_ERROR(ReadOperands(Reader(api_, info, where_.text), &read));
    add_ = {read.a_zero_point, read.b_zero_point, read.y_zero_point,
            read.flip,         read.a_ratio,      read.b_ratio};
    kernel_ = &SelectKernel(KernelIsa());
    return nullptr;
  }

  abi::Status* Compute(abi::KernelContext* context) const {
    Tensor a, b;
    SQUEEZE_RETURN_IF_ERROR(ReadTensors(api_, where_.text, context, &a, &b));
    if (a.rank != b.rank || memcmp(a.dims, b.dims, a.rank * sizeof a.dims[0]) != 0) {
      return Fail(api_, "%s: inputs a and b must have one shape, got %s and %s", where_.text,
                  ShapeOf(a).text, ShapeOf(b).text);
    }
    Tensor y = a;
    SQUEEZE_RETURN_IF_ERROR(MakeOutput(api_, context, &y));
    const auto count = static_cast<size_t>(a.Count());
    Work work = {*kernel_,        add_,  a.As<uint8_t>(),
                 b.As<uint8_t>(), count, static_cast<uint8_t*>(y.data)};
    if (count <= kBytesPerTask) {
      if (count) RunTask(&work, 0);
      return nullptr;
    }
    const size_t tasks = (count + kBytesPerTask - 1) / kBytesPerTask;
    return abi::kParallelFor(api_, context, RunTask, tasks, 0, &work);
  }

 private:
  const abi::Api* api_;
  Where where_;
  Add add_;
  const Kernel* kernel_;
};

}  // namespace
}  // namespace qadd

OpList QAdd() { return Variants<qadd::QAddKernel>::kList; }

}  // namespace squeeze
