// QAddNorm as ONNX Runtime sees it.
#include <string.h>

#include "base/inputs.h"
#include "base/memory.h"
#include "base/scratch.h"
#include "bytes/bytes.h"
#include "qaddnorm/qaddnorm.h"

namespace squeeze {
namespace qaddnorm {
namespace {

using abi::ElementType;

// Smaller pieces are not worth a thread.
constexpr size_t kNumbersPerTask = 16 * 1024;

// How many rows to go on in an input for one step along each dimension of y but the last: 0 where
// the input has the size 1 and y has more.
struct Steps {
  bool all;  // the input has the shape of y
  size_t of[kMaxRank];
};

struct Work {
  const Kernel& kernel;
  const Norm& norm;
  const Tensor& y;
  Rows rows;
  Steps a_steps, b_steps;
  size_t count, rows_per_task;
  bool out_of_memory;
};

Steps StepsOf(const Tensor& input, const Tensor& y) {
  Steps steps = {true, {}};
  size_t rows = 1;
  for (size_t i = y.rank - 1; i-- > 0;) {
    steps.of[i] = input.dims[i] == y.dims[i] ? rows : 0;
    steps.all = steps.all && input.dims[i] == y.dims[i];
    rows *= input.dims[i];
  }
  return steps;
}

size_t RowOf(const Steps& steps, const Tensor& y, size_t row) {
  if (steps.all) return row;
  size_t found = 0;
  for (size_t i = y.rank - 1; i-- > 0; row /= y.dims[i]) found += row % y.dims[i] * steps.of[i];
  return found;
}

void RunTask(void* user, size_t index) {
  auto& work = *static_cast<Work*>(user);
  const size_t row = index * work.rows_per_task, left = work.count - row;
  const size_t count = left < work.rows_per_task ? left : work.rows_per_task;
  const size_t width = work.norm.width;
  const Rows& all = work.rows;
  const size_t at_once = work.a_steps.all && work.b_steps.all ? count : 1;
  const bool ran = WithScratch(width * sizeof(float), [&](void* scratch) {
    for (size_t i = row; i < row + count; i += at_once) {
      const size_t at = i * width;
      const Rows rows = {all.a + RowOf(work.a_steps, work.y, i) * width,
                         all.b + RowOf(work.b_steps, work.y, i) * width, all.y + at,
                         all.norm ? all.norm + at : nullptr, all.sum ? all.sum + at : nullptr};
      work.kernel.run(work.norm, rows, at_once, static_cast<float*>(scratch));
    }
  });
  if (!ran) __atomic_store_n(&work.out_of_memory, true, __ATOMIC_RELAXED);
}

// What goes on in float beside y: the sum, where the next layer adds to it, the normalised sum, or
// that times factors, which undo what norm_scale and norm_shift have for the sake of y.
enum class Stream { kNorm, kSum, kScaledNorm };

// a, b, bias, norm_scale, norm_shift, y_scale, y_zero_point, and the factors where there are some.
// What is not centred is the root mean square's, and has no shift.
template <Stream kStream, bool kCentres = true>
class QAddNormKernel {
 public:
  static constexpr bool kScales = kStream == Stream::kScaledNorm;
  static constexpr const char* kName = !kCentres                 ? "QAddRmsNormSum"
                                       : kStream == Stream::kSum ? "QAddNormSum"
                                       : kScales                 ? "QAddNormScaled"
                                                                 : "QAddNorm";
  static constexpr size_t kYScaleIndex = kCentres ? 5 : 4;
  static constexpr size_t kInputCount = kYScaleIndex + (kScales ? 3 : 2);
  static constexpr size_t kOutputCount = 2;   // y, norm or sum
  static constexpr size_t kVariantCount = 2;  // y u8, s8
  static constexpr ElementType InputType(size_t variant, size_t index) {
    return index == kYScaleIndex + 1 ? OutputType(variant, 0) : ElementType::kFloat;
  }
  static constexpr ElementType OutputType(size_t variant, size_t index) {
    if (index) return ElementType::kFloat;
    return variant ? ElementType::kInt8 : ElementType::kUint8;
  }

  explicit QAddNormKernel(const abi::Api* api) : api_(api) {}

  abi::Status* Initialise(const abi::KernelInfo* info) {
    where_ = Locate(api_, info, kName);
    const Reader read(api_, info, where_.text);
    Quantisation y;
    Tensor scale;
    SQUEEZE_RETURN_IF_ERROR(read.Quantised(kYScaleIndex, "y", &y));
    SQUEEZE_RETURN_IF_ERROR(read.Positive("epsilon", &norm_.epsilon));
    SQUEEZE_RETURN_IF_ERROR(read.Constant(3, "norm_scale", ElementType::kFloat, &scale));
    if (scale.rank != 1 || scale.dims[0] < 1 || scale.dims[0] > kMaxSize) {
      return Fail(api_, "%s: input norm_scale has the shape %s, expected one size from 1 to %lld",
                  where_.text, ShapeOf(scale).text, static_cast<long long>(kMaxSize));
    }
    const size_t width = norm_.width = scale.dims[0];
    if (!constants_.Allocate(4 * width * sizeof(float))) {
      return Fail(api_, "%s: out of memory", where_.text);
    }
    auto* bias = constants_.As<float>();
    norm_.bias = bias, norm_.scale = bias + width, norm_.shift = bias + 2 * width;
    SQUEEZE_RETURN_IF_ERROR(read.Floats(2, "bias", width, bias));
    SQUEEZE_RETURN_IF_ERROR(read.Floats(3, "norm_scale", width, bias + width));
    if (kCentres) {
      SQUEEZE_RETURN_IF_ERROR(read.Floats(4, "norm_shift", width, bias + 2 * width));
    } else {
      memset(bias + 2 * width, 0, width * sizeof *bias);
    }
    norm_.centres = kCentres;
    norm_.factor = nullptr;
    if (kScales) {
      SQUEEZE_RETURN_IF_ERROR(read.Floats(7, "norm_factor", width, bias + 3 * width));
      norm_.factor = bias + 3 * width;
    }
    norm_.steps_per_unit = 1 / y.scale;
    norm_.y_zero_point = y.zero_point;
    norm_.flip = y.is_signed ? kSignBit : 0;
    kernel_ = &SelectKernel(KernelIsa());
    return nullptr;
  }

  abi::Status* Compute(abi::KernelContext* context) const {
    Tensor a, b;
    SQUEEZE_RETURN_IF_ERROR(ReadInput(api_, context, where_.text, 0, &a));
    SQUEEZE_RETURN_IF_ERROR(ReadInput(api_, context, where_.text, 1, &b));
    const auto width = static_cast<int64_t>(norm_.width);
    Tensor y = a;
    bool fits = a.rank == b.rank && a.rank >= 1;
    for (size_t i = 0; fits && i < a.rank; ++i) {
      if (y.dims[i] == 1) y.dims[i] = b.dims[i];
      const bool last = i + 1 == a.rank;
      fits = last ? a.dims[i] == width && b.dims[i] == width
                  : (a.dims[i] == y.dims[i] || a.dims[i] == 1) &&
                        (b.dims[i] == y.dims[i] || b.dims[i] == 1);
    }
    if (!fits) {
      return Fail(api_,
                  "%s: inputs a and b are %s and %s, expected %lld values in the last dimension, "
                  "and else equal sizes or 1",
                  where_.text, ShapeOf(a).text, ShapeOf(b).text, static_cast<long long>(width));
    }
    SQUEEZE_RETURN_IF_ERROR(MakeOutput(api_, context, &y));
    Work work = {*kernel_, norm_, y, {}, StepsOf(a, y), StepsOf(b, y), 0, 1, false};
    work.count = static_cast<size_t>(y.Count() / width);
    work.rows = {a.As<float>(), b.As<float>(), static_cast<uint8_t*>(y.data), nullptr, nullptr};
    Tensor stream = y;
    SQUEEZE_RETURN_IF_ERROR(MakeOutput(api_, context, &stream, 1));
    (kStream == Stream::kSum ? work.rows.sum : work.rows.norm) = static_cast<float*>(stream.data);
    if (!work.count) return nullptr;
    work.rows_per_task = kNumbersPerTask / norm_.width + 1;
    const size_t tasks = (work.count + work.rows_per_task - 1) / work.rows_per_task;
    if (tasks == 1) {
      RunTask(&work, 0);
    } else {
      SQUEEZE_RETURN_IF_ERROR(abi::kParallelFor(api_, context, RunTask, tasks, 0, &work));
    }
    return work.out_of_memory ? Fail(api_, "%s: out of memory", where_.text) : nullptr;
  }

 private:
  const abi::Api* api_;
  Where where_;
  Norm norm_;
  Memory constants_;
  const Kernel* kernel_;
};

}  // namespace
}  // namespace qaddnorm

OpList QAddNorm() { return Variants<qaddnorm::QAddNormKernel<qaddnorm::Stream::kNorm>>::kList; }
OpList QAddNormScaled() {
  return Variants<qaddnorm::QAddNormKernel<qaddnorm::Stream::kScaledNorm>>::kList;
}
OpList QAddNormSum() { return Variants<qaddnorm::QAddNormKernel<qaddnorm::Stream::kSum>>::kList; }
OpList QAddRmsNormSum() {
  return Variants<qaddnorm::QAddNormKernel<qaddnorm::Stream::kSum, false>>::kList;
}

}  // namespace squeeze
