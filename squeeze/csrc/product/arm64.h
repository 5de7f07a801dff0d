// What the Arm kernels of this folder share: requantisation, and the walk over padded rows.
// Internal linkage only, see rows.h.
#pragma once

#include <arm_neon.h>

#include "product/rows.h"

namespace squeeze::product {
namespace {

// Padded rows are copied in pieces of about this size: they stay in the first-level cache.
constexpr size_t kScratchTarget = 24 * 1024;
constexpr size_t kOverRead = 64;

// Channels are done by groups of 16, and the last ones by a group of 8 when they fit into it.
constexpr int32_t kGroup = 16;

SQUEEZE_INLINE int32_t GroupCount(int32_t channels) { return (channels + kGroup - 1) / kGroup; }

// Constants of the requantisation in registers.
struct Requant {
  float32x4_t low, high, conv_ratio, residual_ratio;
  int16x8_t residual_zero_point, zero_point;
};

SQUEEZE_INLINE Requant MakeRequant(const Conv& conv) {
  const int zero_point = conv.has_residual ? conv.y_zero_point : conv.conv_zero_point;
  return {
      vdupq_n_f32(static_cast<float>(-conv.conv_zero_point)),
      vdupq_n_f32(static_cast<float>(255 - conv.conv_zero_point)),
      vdupq_n_f32(conv.conv_ratio),
      vdupq_n_f32(conv.residual_ratio),
      vdupq_n_s16(conv.residual_zero_point),
      vdupq_n_s16(static_cast<int16_t>(zero_point)),
  };
}

SQUEEZE_INLINE float32x4_t ScaleToReal(int32x4_t acc, float32x4_t multiplier) {
  return vmulq_f32(vcvtq_f32_s32(acc), multiplier);
}

// 4 rounded results before the zero point is added. vcvtn rounds half to even.
SQUEEZE_INLINE int32x4_t Scale(int32x4_t acc, float32x4_t multiplier) {
  return vcvtnq_s32_f32(ScaleToReal(acc, multiplier));
}

SQUEEZE_INLINE int32x4_t ScaleAndAdd(int32x4_t acc, float32x4_t multiplier, int16x4_t residual,
                                     const Requant& q) {
  float32x4_t conv = ScaleToReal(acc, multiplier);
  conv = vrndnq_f32(vminq_f32(vmaxq_f32(conv, q.low), q.high));
  const float32x4_t r = vcvtq_f32_s32(vmovl_s16(residual));
  return vcvtnq_s32_f32(vaddq_f32(vmulq_f32(conv, q.conv_ratio), vmulq_f32(r, q.residual_ratio)));
}

// 8 results, zero point added and saturated.
SQUEEZE_INLINE uint8x8_t Pack(int32x4_t a, int32x4_t b, const Requant& q) {
  return vqmovun_s16(vqaddq_s16(vqmovn_high_s32(vqmovn_s32(a), b), q.zero_point));
}

// 1 to 8 bytes, without touching what lies behind them.
SQUEEZE_INLINE uint8x8_t LoadBytes(const uint8_t* from, int32_t count) {
  if (count >= 8) return vld1_u8(from);
  uint64_t bytes = 0;
  memcpy(&bytes, from, count);
  return vcreate_u8(bytes);
}

SQUEEZE_INLINE void StoreBytes(uint8_t* to, uint8x8_t bytes, int32_t count) {
  if (count >= 8) {
    vst1_u8(to, bytes);
  } else {
    const uint64_t all = vget_lane_u64(vreinterpret_u64_u8(bytes), 0);
    memcpy(to, &all, count);
  }
}

// The first `count` of 4 numbers, or all where there are more, or none.
SQUEEZE_INLINE void StoreReals(float* to, float32x4_t reals, int32_t count) {
  if (count >= 4) {
    vst1q_f32(to, reals);
  } else if (count > 0) {
    float all[4];
    vst1q_f32(all, reals);
    memcpy(to, all, count * sizeof(float));
  }
}

// Requantises and stores 4 * V channels of one pixel, of which `valid` exist.
template <int V, Made kMade>
SQUEEZE_INLINE void StorePixel(const int32x4_t (&acc)[V], const float* multiplier, const Requant& q,
                               int32_t valid, const uint8_t* residual, uint8_t* y) {
#pragma GCC unroll 2
  for (int v = 0; v < V; v += 2) {
    const int32_t count = valid - v * 4;
    if (count <= 0) return;
    const float32x4_t low = vld1q_f32(multiplier + v * 4);
    const float32x4_t high = vld1q_f32(multiplier + v * 4 + 4);
    if constexpr (kMade == Made::kReals) {
      float* to = reinterpret_cast<float*>(y) + v * 4;
      StoreReals(to, ScaleToReal(acc[v], low), count);
      StoreReals(to + 4, ScaleToReal(acc[v + 1], high), count - 4);
      continue;
    }
    int32x4_t a, b;
    if constexpr (kMade == Made::kSums) {
      const int16x8_t r =
          vsubq_s16(vreinterpretq_s16_u16(vmovl_u8(LoadBytes(residual + v * 4, count))),
                    q.residual_zero_point);
      a = ScaleAndAdd(acc[v], low, vget_low_s16(r), q);
      b = ScaleAndAdd(acc[v + 1], high, vget_high_s16(r), q);
    } else {
      a = Scale(acc[v], low);
      b = Scale(acc[v + 1], high);
    }
    StoreBytes(y + v * 4, Pack(a, b, q), count);
  }
}

// Output rows whose padded input rows are copied at once.
SQUEEZE_INLINE int32_t RowsPerPiece(const Conv& conv, const Extent& extent) {
  const size_t pitch = size_t{1} * PaddedColumns(conv, extent) * conv.in_channels;
  const size_t fit = kScratchTarget / pitch;
  const size_t kernel_rows = size_t{1} * (conv.kernel_h - 1) * conv.dilation_h + 1;
  const size_t rows = fit > kernel_rows ? (fit - kernel_rows) / conv.stride_h + 1 : 1;
  return rows < static_cast<size_t>(extent.out_h) ? static_cast<int32_t>(rows) : extent.out_h;
}

SQUEEZE_INLINE size_t RowsScratchBytes(const Conv& conv, const Extent& extent) {
  const size_t pitch = size_t{1} * PaddedColumns(conv, extent) * conv.in_channels;
  return RowsFor(conv, 0, RowsPerPiece(conv, extent)).count * pitch + kOverRead;
}

// Calls row_of(window, pitch, row, count) for the output rows of a task: `count` pixels from row
// `row` on, whose first window begins at `window`, with `pitch` bytes from one row of the (padded)
// image to the next. `reads_image`: there is no padding, and the caller reads no byte beyond a
// window; rows are then not copied.
template <typename RowOf>
SQUEEZE_INLINE void WalkRows(const Conv& conv, const Extent& extent, const Task& task,
                             bool reads_image, void* scratch, RowOf row_of) {
  const size_t channels = conv.in_channels;
  if (reads_image) {
    const size_t pitch = extent.in_w * channels;
    if (IsPointwise(conv)) {
      // Rows follow each other without a gap: one long row.
      row_of(task.x + task.row_begin * pitch, pitch, task.row_begin,
             (task.row_end - task.row_begin) * extent.out_w);
      return;
    }
    for (int32_t row = task.row_begin; row < task.row_end; ++row) {
      row_of(task.x + size_t{1} * row * conv.stride_h * pitch, pitch, row, extent.out_w);
    }
    return;
  }
  const int32_t columns = PaddedColumns(conv, extent);
  const size_t pitch = columns * channels;
  auto* padded = static_cast<uint8_t*>(scratch);
  const int32_t step = RowsPerPiece(conv, extent);
  for (int32_t begin = task.row_begin; begin < task.row_end; begin += step) {
    const int32_t end = begin + step < task.row_end ? begin + step : task.row_end;
    const Rows rows = RowsFor(conv, begin, end);
    for (int32_t i = 0; i < rows.count; ++i) {
      CopyPaddedRow(conv, extent, task.x, rows.first + i, columns, padded + i * pitch);
    }
    for (int32_t row = begin; row < end; ++row) {
      row_of(padded + size_t{1} * (row - begin) * conv.stride_h * pitch, pitch, row, extent.out_w);
    }
  }
}

}  // namespace
}  // namespace squeeze::product
