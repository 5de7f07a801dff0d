// QGemmByRow as ONNX Runtime sees it.
#include <string.h>

#include "qgemm/node.h"
#include "qgemmbyrow/qgemmbyrow.h"

namespace squeeze {
namespace qgemmbyrow {
namespace {

using abi::ElementType;

// The inputs, in order.
enum Input : size_t { kA, kB, kScale, kBias, kInputs };

constexpr product::Signature kSignature = {"QGemmByRow",        "a", "b", "b_scale", "gemm", kScale,
                                           product::Tail::kReal};
// Smaller pieces are not worth a thread.
constexpr size_t kNumbersPerTask = 16 * 1024;

// The rows of one call.
struct Rows {
  const Kernel& kernel;
  const float *a, *bias;
  uint8_t* q;     // [count, width]
  float* scales;  // [count]
  size_t count, width, per_task;
};

void QuantiseRows(void* user, size_t index) {
  const auto& rows = *static_cast<const Rows*>(user);
  const size_t first = index * rows.per_task, left = rows.count - first;
  const size_t end = first + (left < rows.per_task ? left : rows.per_task);
  for (size_t i = first; i < end; ++i) {
    const size_t at = i * rows.width;
    rows.scales[i] = rows.kernel.quantise(rows.a + at, rows.width, rows.q + at);
  }
}

void FinishRow(const void* user, size_t row, size_t first, size_t count, float* y) {
  const auto& rows = *static_cast<const Rows*>(user);
  rows.kernel.finish(rows.scales[row], rows.bias + first, count, y);
}

class QGemmByRowKernel {
 public:
  static constexpr const char* kName = kSignature.op;
  static constexpr size_t kInputCount = kInputs;
  static constexpr size_t kOutputCount = 1;
  static constexpr size_t kVariantCount = 1;
  static constexpr ElementType InputType(size_t, size_t index) {
    return index == kB ? ElementType::kInt8 : ElementType::kFloat;
  }
  static constexpr ElementType OutputType(size_t, size_t) { return ElementType::kFloat; }

  explicit QGemmByRowKernel(const abi::Api* api) : api_(api) {}

  abi::Status* Initialise(const abi::KernelInfo* info) {
    node_.where = Locate(api_, info, kName);
    const Reader read(api_, info, node_.where.text);
    Tensor b;
    SQUEEZE_RETURN_IF_ERROR(read.Constant(kB, "b", ElementType::kInt8, &b));
    if (b.rank != 2)
      return Fail(api_, "%s: input b has rank %zu, expected 2", read.where(), b.rank);
    SQUEEZE_RETURN_IF_ERROR(read.CheckWeights("input", "b", b));
    const size_t outputs = b.dims[0];
    if (!numbers_.Allocate(2 * outputs * sizeof(float)) ||
        !zeros_.Allocate(outputs * sizeof(int32_t))) {
      return Fail(api_, "%s: out of memory", read.where());
    }
    auto* scale = numbers_.As<float>();
    SQUEEZE_RETURN_IF_ERROR(read.Floats(kScale, "b_scale", outputs, scale));
    SQUEEZE_RETURN_IF_ERROR(read.Floats(kBias, "bias", outputs, scale + outputs));
    bias_ = scale + outputs;
    memset(zeros_.As<void>(), 0, outputs * sizeof(int32_t));
    product::Scales scales = {};
    scales.x = {1, kZeroPoint, false};
    scales.product = scales.residual = scales.y = {1, 0, false};
    scales.w = scale;
    scales.bias = zeros_.As<int32_t>();
    kernel_ = &SelectKernel(KernelIsa());
    return qgemm::PackNode(read, kSignature, scales, b, product::SelectPlain, &node_);
  }

  abi::Status* Compute(abi::KernelContext* context) const {
    const char* where = node_.where.text;
    Tensor a, y;
    SQUEEZE_RETURN_IF_ERROR(qgemm::ReadRows(api_, context, node_, &a, &y));
    SQUEEZE_RETURN_IF_ERROR(MakeOutput(api_, context, &y));
    const size_t width = node_.inputs, count = a.Count() / width;
    if (!count) return nullptr;
    const Memory q(count * width), scales(count * sizeof(float));
    Rows rows = {*kernel_,           a.As<float>(), bias_, q.As<uint8_t>(),
                 scales.As<float>(), count,         width, 0};
    if (!rows.q || !rows.scales) return Fail(api_, "%s: out of memory", where);
    rows.per_task = kNumbersPerTask / width + 1;
    const size_t tasks = (count + rows.per_task - 1) / rows.per_task;
    if (tasks == 1) {
      QuantiseRows(&rows, 0);
    } else {
      SQUEEZE_RETURN_IF_ERROR(abi::kParallelFor(api_, context, QuantiseRows, tasks, 0, &rows));
    }
    const qgemm::Behind behind = {FinishRow, &rows};
    return qgemm::RunRows(api_, context, node_, rows.q, nullptr, static_cast<uint8_t*>(y.data),
                          static_cast<int64_t>(count), &behind);
  }

 private:
  const abi::Api* api_;
  qgemm::Node node_;
  Memory numbers_, zeros_;
  const float* bias_;
  const Kernel* kernel_;
};

}  // namespace
}  // namespace qgemmbyrow

OpList QGemmByRow() { return Variants<qgemmbyrow::QGemmByRowKernel>::kList; }

}  // namespace squeeze
