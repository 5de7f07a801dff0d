// The QRealLookups as ONNX Runtime sees them.
#include <math.h>
#include <string.h>

#include "base/inputs.h"
#include "base/memory.h"
#include "qreallookup/qreallookup.h"

namespace squeeze {
namespace qreallookup {
namespace {

using abi::ElementType;

// Smaller pieces are not worth a thread.
constexpr size_t kNumbersPerTask = 16 * 1024;

struct Work {
  const Kernel& kernel;
  const Lookup& lookup;
  const float* x;
  size_t rows, rows_per_task;
  uint8_t* y;
};

void RunTask(void* user, size_t index) {
  const auto& work = *static_cast<const Work*>(user);
  const size_t row = index * work.rows_per_task, left = work.rows - row;
  const size_t at = row * work.lookup.width;
  work.kernel.run(work.lookup, work.x + at, left < work.rows_per_task ? left : work.rows_per_task,
                  work.y + at);
}

// x, bias, x_grid, table, and, for the body alone, y_scale, y_zero_point.
template <typename Name>
class QRealLookupKernel {
 public:
  static constexpr const char* kName = Name::kText;
  static constexpr size_t kInputCount = 6;
  static constexpr size_t kRequiredCount = 4;
  static constexpr size_t kOutputCount = 1;
  static constexpr size_t kVariantCount = 2;  // y u8, s8
  static constexpr ElementType InputType(size_t variant, size_t index) {
    return index == 3 || index == 5 ? OutputType(variant, 0) : ElementType::kFloat;
  }
  static constexpr ElementType OutputType(size_t variant, size_t) {
    return variant ? ElementType::kInt8 : ElementType::kUint8;
  }

  explicit QRealLookupKernel(const abi::Api* api) : api_(api) {}

  abi::Status* Initialise(const abi::KernelInfo* info) {
    where_ = Locate(api_, info, kName);
    const Reader read(api_, info, where_.text);
    SQUEEZE_RETURN_IF_ERROR(ReadTable(read));
    float grid[2];  // of table entry 0, and from one to the next
    SQUEEZE_RETURN_IF_ERROR(read.Floats(2, "x_grid", 2, grid));
    if (!isfinite(grid[0]) || !isfinite(grid[1]) || !isfinite(1 / grid[1]) || grid[1] <= 0) {
      return Fail(api_,
                  "%s: input x_grid is (%g, %g), expected a finite number and a positive step",
                  where_.text, static_cast<double>(grid[0]), static_cast<double>(grid[1]));
    }
    lookup_.least = grid[0];
    lookup_.steps_per_unit = 1 / grid[1];
    Tensor bias;
    SQUEEZE_RETURN_IF_ERROR(read.Constant(1, "bias", ElementType::kFloat, &bias));
    if (bias.rank != 1 || bias.dims[0] < 1 || bias.dims[0] > kMaxSize) {
      return Fail(api_, "%s: input bias has the shape %s, expected one size from 1 to %lld",
                  where_.text, ShapeOf(bias).text, static_cast<long long>(kMaxSize));
    }
    lookup_.width = bias.dims[0];
    if (!bias_.Allocate(lookup_.width * sizeof(float))) {
      return Fail(api_, "%s: out of memory", where_.text);
    }
    memcpy(bias_.As<float>(), bias.As<float>(), lookup_.width * sizeof(float));
    lookup_.bias = bias_.As<float>();
    kernel_ = &SelectKernel(KernelIsa());
    return nullptr;
  }

  abi::Status* Compute(abi::KernelContext* context) const {
    Tensor x;
    SQUEEZE_RETURN_IF_ERROR(ReadInput(api_, context, where_.text, 0, &x));
    if (x.rank < 1 || x.dims[x.rank - 1] != static_cast<int64_t>(lookup_.width)) {
      return Fail(api_, "%s: input x is %s, bias expects %zu values in its last dimension",
                  where_.text, ShapeOf(x).text, lookup_.width);
    }
    Tensor y = x;
    SQUEEZE_RETURN_IF_ERROR(MakeOutput(api_, context, &y));
    Work work = {*kernel_,
                 lookup_,
                 x.As<float>(),
                 static_cast<size_t>(x.Count()) / lookup_.width,
                 kNumbersPerTask / lookup_.width + 1,
                 static_cast<uint8_t*>(y.data)};
    if (!work.rows) return nullptr;
    const size_t tasks = (work.rows + work.rows_per_task - 1) / work.rows_per_task;
    if (tasks > 1) return abi::kParallelFor(api_, context, RunTask, tasks, 0, &work);
    RunTask(&work, 0);
    return nullptr;
  }

 private:
  abi::Status* ReadTable(const Reader& read) {
    Tensor table;
    SQUEEZE_RETURN_IF_ERROR(read.Bytes(3, "table", &table));
    if (table.rank != 1 || table.dims[0] < 2 || table.dims[0] > kMostEntries) {
      return Fail(api_, "%s: input table has the shape %s, expected one size from 2 to %lld",
                  where_.text, ShapeOf(table).text, static_cast<long long>(kMostEntries));
    }
    lookup_.size = table.dims[0];
    if (!table_.Allocate(lookup_.size + kOverRead))
      return Fail(api_, "%s: out of memory", where_.text);
    memcpy(table_.As<uint8_t>(), table.As<uint8_t>(), lookup_.size);
    lookup_.table = table_.As<uint8_t>();
    if (!cells_.Allocate(sizeof(Cells))) return Fail(api_, "%s: out of memory", where_.text);
    const bool has_cells = MakeCells(lookup_.table, lookup_.size, cells_.As<Cells>());
    lookup_.cells = has_cells ? cells_.As<Cells>() : nullptr;
    return nullptr;
  }

  const abi::Api* api_;
  Where where_;
  Lookup lookup_;
  Memory table_, cells_, bias_;
  const Kernel* kernel_;
};

}  // namespace
}  // namespace qreallookup

// One kernel under several names: a body belongs to a name, and each function of a file has a body
// of its own.
#define SQUEEZE_LOOKUP(name)                    \
  namespace qreallookup {                       \
  namespace {                                   \
  struct name##Name {                           \
    static constexpr const char* kText = #name; \
  };                                            \
  }                                             \
  }                                             \
  OpList name() { return Variants<qreallookup::QRealLookupKernel<qreallookup::name##Name>>::kList; }
SQUEEZE_LOOKUP(QRealLookup)
SQUEEZE_LOOKUP(QRealLookup2)
SQUEEZE_LOOKUP(QRealLookup3)
SQUEEZE_LOOKUP(QRealLookup4)
SQUEEZE_LOOKUP(QRealLookup5)
SQUEEZE_LOOKUP(QRealLookup6)
SQUEEZE_LOOKUP(QRealLookup7)
SQUEEZE_LOOKUP(QRealLookup8)
#undef SQUEEZE_LOOKUP

}  // namespace squeeze
