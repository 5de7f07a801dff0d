// One call of a matrix product node: its shapes, and its division into tasks of some rows and one
// slice of the outputs each.
#include <string.h>

#include "bytes/bytes.h"
#include "qgemm/node.h"

namespace squeeze::qgemm {
namespace {

constexpr int32_t kRowStep = 16;
constexpr int32_t kMaxRows = 1024;
// A slice comes from far memory, so more rows share its way; still more would not stay in the
// first-level cache (64 rows of 1024 values: 15 percent slower).
constexpr int32_t kMinRowsOfSlice = 32;

struct Work {
  const Node& node;
  const uint8_t* a;
  const uint8_t* residual;
  uint8_t* y;
  int64_t rows;
  const Behind* behind;
  int32_t rows_per_task;
  bool out_of_memory;
};

void CopyRows(const uint8_t* from, size_t from_pitch, size_t rows, size_t bytes, size_t to_pitch,
              uint8_t* to) {
  for (size_t i = 0; i < rows; ++i) memcpy(to + i * to_pitch, from + i * from_pitch, bytes);
}

// What stands behind the float numbers of a slice of some rows.
void FinishSlice(const Work& work, size_t row, int32_t rows, int32_t slice) {
  if (!work.behind) return;
  const Node& node = work.node;
  const size_t first = size_t{1} * slice * node.slice_outputs;
  const size_t width = node.layers[slice].conv.out_channels;
  auto* y = reinterpret_cast<float*>(work.y);
  for (size_t i = row; i < row + rows; ++i) {
    work.behind->run(work.behind->user, i, first, width, y + i * node.outputs + first);
  }
}

// False when there is no memory.
bool RunSlice(const Work& work, size_t row, int32_t rows, int32_t slice) {
  const Node& node = work.node;
  const product::Layer& layer = node.layers[slice];
  const images::Extent extent = {1, rows, 1, rows};
  const size_t scratch_bytes = layer.kernel->scratch_bytes(layer.conv, extent);
  const size_t y_bytes = YBytes(layer.conv);
  const size_t pitch = node.outputs, width = layer.conv.out_channels;
  const size_t at = row * pitch + size_t{1} * slice * node.slice_outputs;
  const uint8_t* residual = work.residual ? work.residual + at : nullptr;
  product::Task task = {work.a + row * node.inputs, residual, work.y + at * y_bytes, 0, 1};
  if (width == pitch || rows == 1) {
    return product::RunTask(layer, node.finish, extent, task, scratch_bytes);
  }
  // Kernels write rows without gaps between them.
  const Memory dense(rows * width * (residual ? 2 : y_bytes));
  task.y = dense.As<uint8_t>();
  if (!task.y) return false;
  if (residual) {
    uint8_t* dense_residual = task.y + rows * width;
    CopyRows(residual, pitch, rows, width, width, dense_residual);
    task.residual = dense_residual;
  }
  if (!product::RunTask(layer, node.finish, extent, task, scratch_bytes)) return false;
  CopyRows(task.y, width * y_bytes, rows, width * y_bytes, pitch * y_bytes, work.y + at * y_bytes);
  return true;
}

void RunTaskAt(void* user, size_t index) {
  auto& work = *static_cast<Work*>(user);
  const size_t row = index / work.node.slices * work.rows_per_task;
  const int64_t left = work.rows - static_cast<int64_t>(row);
  const int32_t rows = left < work.rows_per_task ? static_cast<int32_t>(left) : work.rows_per_task;
  const auto slice = static_cast<int32_t>(index % work.node.slices);
  if (RunSlice(work, row, rows, slice)) {
    FinishSlice(work, row, rows, slice);
  } else {
    __atomic_store_n(&work.out_of_memory, true, __ATOMIC_RELAXED);
  }
}

int32_t RowsPerTask(const Node& node) {
  const int64_t macs_per_row = int64_t{node.inputs} * node.slice_outputs;
  int64_t rows = node.layers[0].kernel->macs_per_task / macs_per_row + 1;
  if (rows < node.layers[0].kernel->least_pixels) rows = node.layers[0].kernel->least_pixels;
  if (node.slices > 1 && rows < kMinRowsOfSlice) rows = kMinRowsOfSlice;
  if (rows > kMaxRows) rows = kMaxRows;
  return static_cast<int32_t>((rows + kRowStep - 1) / kRowStep * kRowStep);
}

abi::Status* RunTasks(const abi::Api* api, abi::KernelContext* context, Work* work) {
  work->rows_per_task = RowsPerTask(work->node);
  const size_t row_tasks = (work->rows + work->rows_per_task - 1) / work->rows_per_task;
  const size_t total = row_tasks * work->node.slices;
  if (total == 1) {
    RunTaskAt(work, 0);
  } else {
    SQUEEZE_RETURN_IF_ERROR(abi::kParallelFor(api, context, RunTaskAt, total, 0, work));
  }
  return work->out_of_memory ? Fail(api, "%s: out of memory", work->node.where.text) : nullptr;
}

// `from` as u8: itself, or a copy in `memory`. Null when there is no memory.
const uint8_t* Unsigned(const Node& node, const Quantisation& quantisation, const Tensor& from,
                        Memory* memory) {
  if (!quantisation.is_signed) return from.As<uint8_t>();
  const size_t count = from.Count();
  if (memory->Allocate(count))
    TurnSigns(node.isa, from.As<uint8_t>(), count, memory->As<uint8_t>());
  return memory->As<uint8_t>();
}

}  // namespace

abi::Status* ReadRows(const abi::Api* api, abi::KernelContext* context, const Node& node, Tensor* a,
                      Tensor* y) {
  const char* where = node.where.text;
  SQUEEZE_RETURN_IF_ERROR(ReadInput(api, context, where, 0, a));
  if (a->rank < 1 || a->dims[a->rank - 1] != node.inputs) {
    return Fail(api, "%s: input a is %s, the weights expect %d values in its last dimension", where,
                ShapeOf(*a).text, node.inputs);
  }
  *y = *a;
  y->dims[a->rank - 1] = node.outputs;
  return nullptr;
}

abi::Status* RunRows(const abi::Api* api, abi::KernelContext* context, const Node& node,
                     const uint8_t* a, const uint8_t* residual, uint8_t* y, int64_t rows,
                     const Behind* behind) {
  Work work = {node, a, residual, y, rows, behind, 1, false};
  return RunTasks(api, context, &work);
}

abi::Status* RunNode(const abi::Api* api, abi::KernelContext* context, const Node& node) {
  const char* where = node.where.text;
  Tensor a, y, residual = {};
  SQUEEZE_RETURN_IF_ERROR(ReadRows(api, context, node, &a, &y));
  if (node.residual) {
    SQUEEZE_RETURN_IF_ERROR(ReadInput(api, context, where, node.residual, &residual));
    if (residual.rank != y.rank || memcmp(residual.dims, y.dims, y.rank * sizeof *y.dims) != 0) {
      return Fail(api, "%s: input residual is %s, y is %s", where, ShapeOf(residual).text,
                  ShapeOf(y).text);
    }
  }
  SQUEEZE_RETURN_IF_ERROR(MakeOutput(api, context, &y));
  const int64_t rows = y.Count() / node.outputs;
  if (rows == 0) return nullptr;
  Memory a_memory, residual_memory;
  const uint8_t *a_bytes = Unsigned(node, node.a, a, &a_memory), *residual_bytes = nullptr;
  if (node.residual) residual_bytes = Unsigned(node, node.y, residual, &residual_memory);
  if (!a_bytes || (node.residual && !residual_bytes)) {
    return Fail(api, "%s: out of memory", where);
  }
  return RunRows(api, context, node, a_bytes, residual_bytes, static_cast<uint8_t*>(y.data), rows,
                 nullptr);
}

}  // namespace squeeze::qgemm
