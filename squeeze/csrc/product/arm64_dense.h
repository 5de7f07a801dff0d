// Dense convolution for Arm, any kernel size, stride, dilation and padding; how bytes are
// multiplied is the caller's. Internal linkage only, see rows.h.
//
// With dilation_w 1 the kw * channels bytes of a kernel row lie side by side, so they are one run;
// else every tap is a run. Runs are cut into steps of Dot::kStep bytes, the last one filled up with
// zero weights: images whose runs are not whole steps are copied to where reading on is allowed.
//
// A Dot has
//   static constexpr int kStep;        2, 4 or 8
//   static constexpr int kBias;        what it takes off every input before it multiplies
//   template <int P, int V>            P pixels x 4 * V channels: sums[p][v] are the channels 4 * v
//   .. static void Add(Window, int32x4_t (&sums)[P][V]);
#pragma once

#include "product/arm64.h"

namespace squeeze::product {
namespace {

// What one block reads.
struct Window {
  const uint8_t* x;     // of the first pixel
  size_t pixel_step;    // bytes to the window of the next pixel
  size_t run_step;      // to the next run of a kernel row
  size_t row_step;      // to the next kernel row
  int32_t rows, runs;   // of the kernel, and per row
  int32_t run_bytes;    // whole steps
  const int8_t* w;      // [row][run][step][channel of the group][kStep]
  const int32_t* bias;  // of the group
};

// Calls take(x, w) for every run of the window. `channels`: of the group.
template <typename Take>
SQUEEZE_INLINE void ForEachRun(const Window& window, int channels, Take take) {
  const int8_t* w = window.w;
  for (int32_t row = 0; row < window.rows; ++row) {
    const uint8_t* x = window.x + row * window.row_step;
    for (int32_t run = 0; run < window.runs; ++run) {
      take(x, w);
      x += window.run_step;
      w += size_t{1} * channels * window.run_bytes;
    }
  }
}

template <Made kMade>
inline constexpr size_t kYBytes = kMade == Made::kReals ? sizeof(float) : 1;

template <typename Dot>
struct Dense {
  struct Layout {
    int32_t groups, runs, run_bytes;
    size_t channel_bytes;  // weights of one channel
  };

  SQUEEZE_INLINE Layout LayoutOf(const Conv& conv) {
    const bool joined = conv.dilation_w == 1;
    const int32_t runs = joined ? 1 : conv.kernel_w;
    const int32_t run_bytes = RoundUp(conv.in_channels * (joined ? conv.kernel_w : 1), Dot::kStep);
    return {GroupCount(conv.out_channels), runs, run_bytes,
            size_t{1} * conv.kernel_h * runs * run_bytes};
  }

  struct Packed {
    const int32_t* bias;      // [groups * 16]
    const float* multiplier;  // [groups * 16]
    const int8_t* w;          // [groups][16 * channel_bytes]
  };

  SQUEEZE_INLINE Packed View(const Layout& layout, const void* packed) {
    const auto* bias = static_cast<const int32_t*>(packed);
    const auto* multiplier = reinterpret_cast<const float*>(bias + layout.groups * kGroup);
    return {bias, multiplier, reinterpret_cast<const int8_t*>(multiplier + layout.groups * kGroup)};
  }

  // Channels of a group: 8 only for the last one.
  SQUEEZE_INLINE int32_t Width(const Conv& conv, int32_t group) {
    return conv.out_channels - group * kGroup <= 8 ? 8 : kGroup;
  }

  static bool Supports(const Conv& conv) { return conv.groups == 1; }

  static size_t PackedBytes(const Conv& conv) {
    const Layout layout = LayoutOf(conv);
    return layout.groups * kGroup * (8 + layout.channel_bytes);
  }

  static void Pack(const Conv& conv, const Weights& weights, void* packed) {
    const Layout layout = LayoutOf(conv);
    const Packed view = View(layout, packed);
    auto* bias = const_cast<int32_t*>(view.bias);
    auto* multiplier = const_cast<float*>(view.multiplier);
    auto* w = const_cast<int8_t*>(view.w);
    const int8_t* from = weights.w;
    const bool joined = layout.runs == 1;
    for (int32_t o = 0; o < conv.out_channels; ++o) {
      const int32_t group = o / kGroup, width = Width(conv, group);
      uint32_t folded = FoldedBias(conv, weights, o);
      multiplier[o] = weights.multiplier[o];
      int8_t* to = w + group * kGroup * layout.channel_bytes + o % kGroup * Dot::kStep;
      for (int32_t i = 0; i < conv.in_channels; ++i) {
        for (int32_t kh = 0; kh < conv.kernel_h; ++kh) {
          for (int32_t kw = 0; kw < conv.kernel_w; ++kw) {
            const size_t run = size_t{1} * kh * layout.runs + (joined ? 0 : kw);
            const size_t byte = run * layout.run_bytes + (joined ? kw * conv.in_channels : 0) + i;
            folded += static_cast<uint32_t>(*from) * Dot::kBias;
            to[byte / Dot::kStep * width * Dot::kStep + byte % Dot::kStep] = *from++;
          }
        }
      }
      bias[o] = static_cast<int32_t>(folded);
    }
  }

  // Without padding, and with whole steps, runs are read straight from the image.
  SQUEEZE_INLINE bool ReadsImage(const Conv& conv) {
    const int32_t run = conv.in_channels * (conv.dilation_w == 1 ? conv.kernel_w : 1);
    return !IsPadded(conv) && run % Dot::kStep == 0;
  }

  static size_t ScratchBytes(const Conv& conv, const Extent& extent) {
    return ReadsImage(conv) ? 0 : RowsScratchBytes(conv, extent);
  }

  // A row of pixels and what stays the same for it; `window` is that of its first pixel.
  struct Row {
    const Requant& q;
    int32_t count;        // of pixels
    size_t out_channels;  // of the image
    const float* multiplier;
    const uint8_t* residual;  // of the first channel of the group, as y
    uint8_t* y;
  };

  // Pixels `done` .. by blocks of P; the last block is moved back to end with the row, and does a
  // few again.
  template <int P, int V, Made kMade>
  SQUEEZE_INLINE int32_t Blocks(const Row& row, Window window, int32_t done, int32_t valid) {
    const uint8_t* x = window.x;
    while (done < row.count && row.count >= P) {
      const int32_t at = done + P <= row.count ? done : row.count - P;
      window.x = x + at * window.pixel_step;
      int32x4_t sums[P][V];
      Dot::template Add<P, V>(window, sums);
      const size_t out = at * row.out_channels;
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        const size_t at_pixel = out + p * row.out_channels;
        StorePixel<V, kMade>(sums[p], row.multiplier, row.q, valid,
                             kMade == Made::kSums ? row.residual + at_pixel : nullptr,
                             row.y + at_pixel * kYBytes<kMade>);
      }
      done = at + P;
    }
    return done;
  }

  template <Made kMade>
  static void Pixels(const Conv& conv, const Layout& layout, const Packed& view, Row row,
                     Window window) {
    const uint8_t* residual = row.residual;
    uint8_t* y = row.y;
    for (int32_t group = 0; group < layout.groups; ++group) {
      const int32_t first = group * kGroup, valid = conv.out_channels - first;
      window.w = view.w + first * layout.channel_bytes;
      window.bias = view.bias + first;
      row.multiplier = view.multiplier + first;
      row.y = y + first * kYBytes<kMade>;
      if (kMade == Made::kSums) row.residual = residual + first;
      if (Width(conv, group) == kGroup) {
        const int32_t done = Blocks<4, 4, kMade>(row, window, 0, valid);
        Blocks<1, 4, kMade>(row, window, done, valid);
      } else {
        int32_t done = Blocks<8, 2, kMade>(row, window, 0, valid);
        done = Blocks<4, 2, kMade>(row, window, done, valid);
        Blocks<1, 2, kMade>(row, window, done, valid);
      }
    }
  }

  static void Run(const Conv& conv, const void* packed, const Extent& extent, const Task& task,
                  void* scratch) {
    const Layout layout = LayoutOf(conv);
    const Packed view = View(layout, packed);
    const Requant q = MakeRequant(conv);
    const size_t channels = conv.in_channels;
    const size_t out_pitch = size_t{1} * extent.out_w * conv.out_channels;
    WalkRows(conv, extent, task, ReadsImage(conv), scratch,
             [&](const uint8_t* x, size_t pitch, int32_t y_row, int32_t count) {
               const Window window = {x,
                                      conv.stride_w * channels,
                                      conv.dilation_w * channels,
                                      conv.dilation_h * pitch,
                                      conv.kernel_h,
                                      layout.runs,
                                      layout.run_bytes,
                                      nullptr,
                                      nullptr};
               const size_t out = y_row * out_pitch;
               const Row row = {q,
                                count,
                                static_cast<size_t>(conv.out_channels),
                                nullptr,
                                task.residual ? task.residual + out : nullptr,
                                task.y + out * YBytes(conv)};
               switch (MadeOf(conv)) {
                 case Made::kReals:
                   return Pixels<Made::kReals>(conv, layout, view, row, window);
                 case Made::kSums:
                   return Pixels<Made::kSums>(conv, layout, view, row, window);
                 default:
                   return Pixels<Made::kBytes>(conv, layout, view, row, window);
               }
             });
  }
};

}  // namespace
}  // namespace squeeze::product
