// The CodebookGathers as ONNX Runtime sees them.
#include "base/inputs.h"
#include "codebookgather/codebookgather.h"

namespace squeeze {
namespace codebookgather {
namespace {

using abi::ElementType;

// Smaller pieces are not worth a thread.
constexpr size_t kNumbersPerTask = 16 * 1024;

struct Ids {
  const void* data;
  bool is_wide;  // int64, else int32

  int64_t At(size_t i) const {
    return is_wide ? static_cast<const int64_t*>(data)[i] : static_cast<const int32_t*>(data)[i];
  }
};

struct Work {
  const Kernel& kernel;
  const Table& table;
  int64_t rows;
  Ids ids;
  size_t count, ids_per_task;
  float* y;
};

void RunTask(void* user, size_t index) {
  const auto& work = *static_cast<const Work*>(user);
  const size_t first = index * work.ids_per_task, left = work.count - first;
  const size_t end = first + (left < work.ids_per_task ? left : work.ids_per_task);
  for (size_t i = first; i < end; ++i) {
    const int64_t id = work.ids.At(i);
    work.kernel.run(work.table, static_cast<size_t>(id < 0 ? id + work.rows : id),
                    work.y + i * work.table.width);
  }
}

// ids, codes, of 3 bits also high_codes, levels, scales.
template <int kBits>
class CodebookGatherKernel {
 public:
  static constexpr bool kHasHigh = kBits == 3;
  static constexpr size_t kLevels = kHasHigh ? 3 : 2, kScales = kLevels + 1;
  static constexpr const char* kName = kBits == 4   ? "CodebookGather4"
                                       : kBits == 3 ? "CodebookGather3"
                                                    : "CodebookGather2";
  static constexpr size_t kInputCount = kScales + 1;
  static constexpr size_t kOutputCount = 1;
  static constexpr size_t kVariantCount = 2;  // ids int64, int32
  static constexpr ElementType InputType(size_t variant, size_t index) {
    if (!index) return variant ? ElementType::kInt32 : ElementType::kInt64;
    return index < kLevels ? ElementType::kUint8 : ElementType::kFloat;
  }
  static constexpr ElementType OutputType(size_t, size_t) { return ElementType::kFloat; }

  explicit CodebookGatherKernel(const abi::Api* api) : api_(api) {}

  abi::Status* Initialise(const abi::KernelInfo* info) {
    where_ = Locate(api_, info, kName);
    const Reader read(api_, info, where_.text);
    Tensor codes;
    SQUEEZE_RETURN_IF_ERROR(read.Constant(1, "codes", ElementType::kUint8, &codes));
    if (codes.rank != 2 || codes.dims[0] < 1 || codes.dims[1] < 1 || codes.dims[1] > kMaxSize) {
      return Fail(api_, "%s: input codes has the shape %s, expected rows of 1 to %lld bytes",
                  where_.text, ShapeOf(codes).text, static_cast<long long>(kMaxSize));
    }
    rows_ = codes.dims[0];
    table_.bits = kBits;
    table_.width = static_cast<size_t>(codes.dims[1] * Parts(kBits));
    // Constants stay where they are as long as the node does.
    table_.codes = codes.As<uint8_t>();
    table_.high = nullptr;
    if (kHasHigh) SQUEEZE_RETURN_IF_ERROR(ReadHigh(read, codes));
    SQUEEZE_RETURN_IF_ERROR(read.Floats(kLevels, "levels", 1 << kBits, levels_));
    table_.levels = levels_;
    Tensor scales;
    SQUEEZE_RETURN_IF_ERROR(read.Constant(kScales, "scales", ElementType::kFloat, &scales));
    if (scales.rank != 2 || scales.dims[0] != rows_ || scales.dims[1] != 1) {
      return Fail(api_, "%s: input scales has the shape %s, expected [%lld, 1]", where_.text,
                  ShapeOf(scales).text, static_cast<long long>(rows_));
    }
    table_.scales = scales.As<float>();
    kernel_ = &SelectKernel(KernelIsa());
    return nullptr;
  }

  abi::Status* Compute(abi::KernelContext* context) const {
    Tensor ids;
    SQUEEZE_RETURN_IF_ERROR(ReadInput(api_, context, where_.text, 0, &ids));
    if (ids.rank + 1 > kMaxRank) {
      return Fail(api_, "%s: input ids has %zu dimensions, expected at most %zu", where_.text,
                  ids.rank, kMaxRank - 1);
    }
    const Ids each = {ids.data, ids.type == ElementType::kInt64};
    const auto count = static_cast<size_t>(ids.Count());
    for (size_t i = 0; i < count; ++i) {
      const int64_t id = each.At(i);
      if (id >= -rows_ && id < rows_) continue;
      return Fail(api_, "%s: input ids is %lld at place %zu, expected %lld to %lld, for %lld rows",
                  where_.text, static_cast<long long>(id), i, static_cast<long long>(-rows_),
                  static_cast<long long>(rows_ - 1), static_cast<long long>(rows_));
    }
    Tensor y = ids;
    y.dims[y.rank++] = static_cast<int64_t>(table_.width);
    SQUEEZE_RETURN_IF_ERROR(MakeOutput(api_, context, &y));
    if (!count) return nullptr;
    Work work = {*kernel_,
                 table_,
                 rows_,
                 each,
                 count,
                 kNumbersPerTask / table_.width + 1,
                 static_cast<float*>(y.data)};
    const size_t tasks = (count + work.ids_per_task - 1) / work.ids_per_task;
    if (tasks > 1) return abi::kParallelFor(api_, context, RunTask, tasks, 0, &work);
    RunTask(&work, 0);
    return nullptr;
  }

 private:
  abi::Status* ReadHigh(const Reader& read, const Tensor& codes) {
    Tensor high;
    SQUEEZE_RETURN_IF_ERROR(read.Constant(2, "high_codes", ElementType::kUint8, &high));
    if (high.rank != 2 || high.dims[0] != rows_ || 2 * high.dims[1] != codes.dims[1]) {
      return Fail(api_,
                  "%s: input high_codes has the shape %s, expected the rows of codes, %s, in half "
                  "as many bytes",
                  where_.text, ShapeOf(high).text, ShapeOf(codes).text);
    }
    table_.high = high.As<uint8_t>();
    return nullptr;
  }

  const abi::Api* api_;
  Where where_;
  int64_t rows_;
  Table table_ = {};
  float levels_[1 << kBits];
  const Kernel* kernel_;
};

}  // namespace
}  // namespace codebookgather

OpList CodebookGather2() { return Variants<codebookgather::CodebookGatherKernel<2>>::kList; }
OpList CodebookGather3() { return Variants<codebookgather::CodebookGatherKernel<3>>::kList; }
OpList CodebookGather4() { return Variants<codebookgather::CodebookGatherKernel<4>>::kList; }

}  // namespace squeeze
