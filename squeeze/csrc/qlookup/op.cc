// The QLookups as ONNX Runtime sees them: a function of each byte of a tensor, as a table.
#include <string.h>

#include "base/inputs.h"
#include "bytes/bytes.h"

namespace squeeze {
namespace qlookup {
namespace {

using abi::ElementType;

// Smaller pieces are not worth a thread. One is copied and looked up while it is in a cache.
constexpr size_t kBytesPerTask = 16 * 1024;

struct Work {
  Isa isa;
  const uint8_t *table, *x;
  size_t count;
  uint8_t* y;
};

void RunTask(void* user, size_t index) {
  const auto& work = *static_cast<const Work*>(user);
  const size_t at = index * kBytesPerTask, left = work.count - at;
  const size_t bytes = left < kBytesPerTask ? left : kBytesPerTask;
  memcpy(work.y + at, work.x + at, bytes);
  LookUp(work.isa, work.table, work.y + at, bytes);
}

// x, x_scale, x_zero_point, table, and, for the body alone, y_scale, y_zero_point.
template <typename Name>
class QLookupKernel {
 public:
  static constexpr const char* kName = Name::kText;
  static constexpr size_t kInputCount = 6;
  static constexpr size_t kRequiredCount = 4;
  static constexpr size_t kOutputCount = 1;
  static constexpr size_t kVariantCount = 2;  // u8, s8
  static constexpr ElementType InputType(size_t variant, size_t index) {
    return index == 1 || index == 4 ? ElementType::kFloat : OutputType(variant, 0);
  }
  static constexpr ElementType OutputType(size_t variant, size_t) {
    return variant ? ElementType::kInt8 : ElementType::kUint8;
  }

  explicit QLookupKernel(const abi::Api* api) : api_(api) {}

  abi::Status* Initialise(const abi::KernelInfo* info) {
    where_ = Locate(api_, info, kName);
    const Reader read(api_, info, where_.text);
    Quantisation x;
    SQUEEZE_RETURN_IF_ERROR(read.Quantised(1, "x", &x));
    Tensor table;
    const ElementType type = x.is_signed ? ElementType::kInt8 : ElementType::kUint8;
    SQUEEZE_RETURN_IF_ERROR(read.Constant(3, "table", type, &table));
    if (table.rank != 1 || table.dims[0] != static_cast<int64_t>(sizeof table_)) {
      return Fail(api_, "%s: input table has the shape %s, expected [256]", where_.text,
                  ShapeOf(table).text);
    }
    memcpy(table_, table.As<uint8_t>(), sizeof table_);
    isa_ = KernelIsa();
    return nullptr;
  }

  abi::Status* Compute(abi::KernelContext* context) const {
    Tensor x;
    SQUEEZE_RETURN_IF_ERROR(ReadInput(api_, context, where_.text, 0, &x));
    Tensor y = x;
    SQUEEZE_RETURN_IF_ERROR(MakeOutput(api_, context, &y));
    const auto count = static_cast<size_t>(x.Count());
    Work work = {isa_, table_, x.As<uint8_t>(), count, static_cast<uint8_t*>(y.data)};
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
  uint8_t table_[256];
  Isa isa_;
};

}  // namespace
}  // namespace qlookup

// One kernel under several names: a body belongs to a name, and each function of a file has a body
// of its own.
#define SQUEEZE_LOOKUP(name)                    \
  namespace qlookup {                           \
  namespace {                                   \
  struct name##Name {                           \
    static constexpr const char* kText = #name; \
  };                                            \
  }                                             \
  }                                             \
  OpList name() { return Variants<qlookup::QLookupKernel<qlookup::name##Name>>::kList; }
SQUEEZE_LOOKUP(QLookup)
SQUEEZE_LOOKUP(QLookup2)
SQUEEZE_LOOKUP(QLookup3)
SQUEEZE_LOOKUP(QLookup4)
SQUEEZE_LOOKUP(QLookup5)
SQUEEZE_LOOKUP(QLookup6)
SQUEEZE_LOOKUP(QLookup7)
SQUEEZE_LOOKUP(QLookup8)
#undef SQUEEZE_LOOKUP

}  // namespace squeeze
