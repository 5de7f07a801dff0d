// QConcat: two 8-bit tensors side by side, each requantised to y.
//
//   y = sat(round((x - x_zero_point) * (x_scale / y_scale)) + y_zero_point)
//
// round is half to even, sat is to the range of the type. A byte has 256 values: a table of them is
// made once and looked up, and where it changes nothing bytes are copied.
#include <string.h>

#include "bytes/bytes.h"
#include "qadd/operands.h"

namespace squeeze {
namespace qconcat {
namespace {

// Smaller pieces are not worth a thread.
constexpr size_t kBytesPerTask = 64 * 1024;

uint8_t Requantise(uint8_t value, uint8_t zero_point, float ratio, uint8_t y_zero_point) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: rounds half to even below 2^22
  const float low = -static_cast<float>(y_zero_point), high = 255.0f + low;
  float scaled = static_cast<float>(value - zero_point) * ratio;
  scaled = scaled < low ? low : scaled;
  scaled = scaled > high ? high : scaled;
  return static_cast<uint8_t>(static_cast<int32_t>((scaled + kMagic) - kMagic) + y_zero_point);
}

// How one input becomes its part of y.
struct Part {
  uint8_t table[256];
  bool changes_nothing;

  void Fill(uint8_t zero_point, float ratio, const qadd::Operands& operands) {
    changes_nothing = true;
    for (int byte = 0; byte < 256; ++byte) {
      const auto twin = static_cast<uint8_t>(byte ^ operands.flip);
      table[byte] = Requantise(twin, zero_point, ratio, operands.y_zero_point) ^ operands.flip;
      changes_nothing = changes_nothing && table[byte] == byte;
    }
  }
};

// One row: everything from `axis` on of one index before it.
struct Work {
  Isa isa;
  const Part (&parts)[2];
  const uint8_t* x[2];
  size_t bytes[2];  // per row
  uint8_t* y;
  size_t rows, rows_per_task;
};

void RunTask(void* user, size_t index) {
  const auto& work = *static_cast<const Work*>(user);
  const size_t begin = index * work.rows_per_task, wanted = begin + work.rows_per_task;
  const size_t end = wanted < work.rows ? wanted : work.rows;
  uint8_t* y = work.y + begin * (work.bytes[0] + work.bytes[1]);
  for (size_t row = begin; row < end; ++row) {
    for (int part = 0; part < 2; ++part) {
      const size_t bytes = work.bytes[part];
      memcpy(y, work.x[part] + row * bytes, bytes);
      if (!work.parts[part].changes_nothing) LookUp(work.isa, work.parts[part].table, y, bytes);
      y += bytes;
    }
  }
}

class QConcatKernel {
 public:
  static constexpr const char* kName = "QConcat";
  static constexpr size_t kInputCount = qadd::kInputCount;
  static constexpr size_t kOutputCount = 1;
  static constexpr size_t kVariantCount = qadd::kVariantCount;
  static constexpr abi::ElementType InputType(size_t variant, size_t index) {
    return qadd::InputType(variant, index);
  }
  static constexpr abi::ElementType OutputType(size_t variant, size_t) {
    return qadd::OutputType(variant);
  }

  explicit QConcatKernel(const abi::Api* api) : api_(api) {}

  abi::Status* Initialise(const abi::KernelInfo* info) {
    where_ = Locate(api_, info, kName);
    const Reader read(api_, info, where_.text);
    constexpr auto kRank = static_cast<int64_t>(kMaxRank);
    SQUEEZE_RETURN_IF_ERROR(read.Int("axis", -kRank, kRank - 1, &axis_));
    qadd::Operands operands;
    SQUEEZE_RETURN_IF_ERROR(qadd::ReadOperands(read, &operands));
    parts_[0].Fill(operands.a_zero_point, operands.a_ratio, operands);
    parts_[1].Fill(operands.b_zero_point, operands.b_ratio, operands);
    isa_ = KernelIsa();
    return nullptr;
  }

  abi::Status* Compute(abi::KernelContext* context) const;

 private:
  const abi::Api* api_;
  Where where_;
  int64_t axis_;
  Part parts_[2];
  Isa isa_;
};

abi::Status* QConcatKernel::Compute(abi::KernelContext* context) const {
  Tensor a, b;
  SQUEEZE_RETURN_IF_ERROR(qadd::ReadTensors(api_, where_.text, context, &a, &b));
  const auto rank = static_cast<int64_t>(a.rank);
  const int64_t axis = axis_ < 0 ? axis_ + rank : axis_;
  if (axis < 0 || axis >= rank) {
    return Fail(api_, "%s: attribute axis is %lld, input a has rank %zu", where_.text,
                static_cast<long long>(axis_), a.rank);
  }
  bool alike = a.rank == b.rank;
  size_t rows = 1, after = 1;
  for (int64_t i = 0; alike && i < rank; ++i) {
    if (i == axis) continue;
    alike = a.dims[i] == b.dims[i];
    (i < axis ? rows : after) *= static_cast<size_t>(a.dims[i]);
  }
  if (!alike) {
    return Fail(api_, "%s: inputs a and b may differ along axis %lld alone, got %s and %s",
                where_.text, static_cast<long long>(axis), ShapeOf(a).text, ShapeOf(b).text);
  }
  Tensor y = a;
  y.dims[axis] += b.dims[axis];
  SQUEEZE_RETURN_IF_ERROR(MakeOutput(api_, context, &y));
  const size_t bytes[2] = {after * a.dims[axis], after * b.dims[axis]};
  if (y.Count() == 0) return nullptr;
  const size_t rows_per_task = kBytesPerTask / (bytes[0] + bytes[1]) + 1;
  Work work = {isa_,
               parts_,
               {a.As<uint8_t>(), b.As<uint8_t>()},
               {bytes[0], bytes[1]},
               static_cast<uint8_t*>(y.data),
               rows,
               rows_per_task};
  const size_t tasks = (rows + rows_per_task - 1) / rows_per_task;
  if (tasks > 1) return abi::kParallelFor(api_, context, RunTask, tasks, 0, &work);
  RunTask(&work, 0);
  return nullptr;
}

}  // namespace
}  // namespace qconcat

OpList QConcat() { return Variants<qconcat::QConcatKernel>::kList; }

}  // namespace squeeze
