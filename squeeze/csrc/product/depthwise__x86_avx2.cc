// Depthwise convolution, any kernel size, stride, dilation and padding, with exact 16-bit products.
//
// Works on 16 consecutive values of an output row at a time. Two taps are interleaved, and pmaddwd
// multiplies and adds them; packs undoes the interleaving. An odd tap meets itself with weight
// zero.
#include "product/depthwise.h"
#include "product/x86_avx2.h"

namespace squeeze::product {
namespace {

constexpr size_t kScratchTarget = 10 * 1024;  // 16-bit values
constexpr size_t kOverRead = 32;
constexpr int32_t kStrip = 16;

struct PackedStrip {
  int32_t bias[2][8];
  float multiplier[2][8];
};

struct Layout {
  int32_t period;
  size_t pairs;  // of taps
};

SQUEEZE_INLINE Layout LayoutOf(const Conv& conv) {
  return {Period(conv, kStrip), (size_t{1} * conv.kernel_h * conv.kernel_w + 1) / 2};
}

// After the strips: weights [period][pairs][half][8][2].
SQUEEZE_INLINE size_t WeightsOffset(const Layout& layout) {
  return layout.period * sizeof(PackedStrip);
}

size_t PackedBytes(const Conv& conv) {
  const Layout layout = LayoutOf(conv);
  return WeightsOffset(layout) + layout.period * layout.pairs * 64;
}

void PackWeights(const Conv& conv, const Weights& weights, void* packed) {
  const Layout layout = LayoutOf(conv);
  auto* strips = static_cast<PackedStrip*>(packed);
  auto* w = reinterpret_cast<int16_t*>(static_cast<uint8_t*>(packed) + WeightsOffset(layout));
  const int32_t taps = conv.kernel_h * conv.kernel_w;
  for (int32_t s = 0; s < layout.period; ++s) {
    for (int32_t half = 0; half < 2; ++half) {
      for (int32_t lane = 0; lane < 8; ++lane) {
        const int32_t value = lane / 4 * 8 + half * 4 + lane % 4;  // where unpacks take it from
        const int32_t channel = (s * kStrip + value) % conv.in_channels;
        strips[s].bias[half][lane] = FoldedBias(conv, weights, channel);
        strips[s].multiplier[half][lane] = weights.multiplier[channel];
        for (int32_t tap = 0; tap < taps; ++tap) {
          const size_t pair = (s * layout.pairs + tap / 2) * 2 + half;
          w[(pair * 8 + lane) * 2 + tap % 2] = weights.w[size_t{1} * channel * taps + tap];
        }
      }
    }
  }
}

size_t ScratchBytes(const Conv& conv, const Extent& extent) {
  const Phases phases = PhasesOf(conv, extent, kStrip);
  const int32_t rows = RowsFor(conv, 0, RowsPerPiece(conv, phases, extent, kScratchTarget)).count;
  return ScratchOf(phases, LayoutOf(conv).pairs * 2).rows +
         (rows * phases.pitch + kOverRead) * sizeof(uint16_t);
}

SQUEEZE_INLINE void WidenPixel(const uint8_t* from, size_t channels, uint16_t* to) {
  if (channels % 8) return WidenBytes(from, channels, to);
  for (size_t c = 0; c < channels; c += 8) {
    const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from + c));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + c), _mm_cvtepu8_epi16(eight));
  }
}

// One row of the padded image, in phases.
SQUEEZE_INLINE void CopyRow(const Conv& conv, const Extent& extent, const Phases& phases,
                            const PhaseColumns* all_columns, const uint8_t* x, int32_t row,
                            uint16_t* to) {
  const int32_t in_row = row - conv.pad_top;
  if (phases.count == 1 || in_row < 0 || in_row >= extent.in_h) {
    return WidenPaddedRow(conv, extent, x, row, phases.columns, to);
  }
  const size_t channels = phases.channels;
  const uint8_t* image_row = x + size_t{1} * in_row * extent.in_w * channels;
  for (int32_t phase = 0; phase < phases.count; ++phase) {
    const PhaseColumns& columns = all_columns[phase];
    FillWide(conv.x_zero_point, columns.before * channels, to);
    to += columns.before * channels;
    for (int32_t i = 0; i < columns.inside; ++i, to += channels) {
      WidenPixel(image_row + size_t{1} * (columns.first + i * phases.count) * channels, channels,
                 to);
    }
    FillWide(conv.x_zero_point, columns.after * channels, to);
    to += columns.after * channels;
  }
}

// What stays the same for all strips of a call.
struct Job {
  const Requant& q;
  const size_t* distances;
  size_t pairs;
  size_t step;  // values from the window of one output row to that of the next
  size_t out_pitch;
};

// One strip of kRows output rows: every weight is loaded once for all of them. `x`: its window of
// the first row; `valid`: values in use.
template <int kRows, bool kResidual>
SQUEEZE_INLINE void StripOf(const Job& job, const PackedStrip& strip, const int16_t* w,
                            const uint16_t* x, size_t valid, const uint8_t* residual, uint8_t* y) {
  __m256i low[kRows], high[kRows];
#pragma GCC unroll 2
  for (int row = 0; row < kRows; ++row) {
    low[row] = Load256(strip.bias[0]);
    high[row] = Load256(strip.bias[1]);
  }
  for (size_t pair = 0; pair < job.pairs; ++pair) {
    const uint16_t* a = x + job.distances[2 * pair];
    const uint16_t* b = x + job.distances[2 * pair + 1];
    const __m256i low_w = Load256(w + pair * 32), high_w = Load256(w + pair * 32 + 16);
#pragma GCC unroll 2
    for (int row = 0; row < kRows; ++row, a += job.step, b += job.step) {
      const __m256i av = Load256(a), bv = Load256(b);
      low[row] = Dot2(low[row], _mm256_unpacklo_epi16(av, bv), low_w);
      high[row] = Dot2(high[row], _mm256_unpackhi_epi16(av, bv), high_w);
    }
  }
  const __m256 low_multiplier = _mm256_loadu_ps(strip.multiplier[0]);
  const __m256 high_multiplier = _mm256_loadu_ps(strip.multiplier[1]);
#pragma GCC unroll 2
  for (int row = 0; row < kRows; ++row, y += job.out_pitch) {
    __m256i a, b;
    if constexpr (kResidual) {
      const __m256i r = _mm256_cvtepu8_epi16(LoadSome(residual + row * job.out_pitch, valid));
      const __m256i zero = _mm256_setzero_si256();
      a = ScaleAndAdd(low[row], low_multiplier, _mm256_unpacklo_epi16(r, zero), job.q);
      b = ScaleAndAdd(high[row], high_multiplier, _mm256_unpackhi_epi16(r, zero), job.q);
    } else {
      a = Scale(low[row], low_multiplier);
      b = Scale(high[row], high_multiplier);
    }
    const __m256i wide = AddZeroPoint(a, b, job.q);
    StoreSome(_mm_packus_epi16(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1)),
              valid, y);
  }
}

template <bool kResidual>
void StripDown(const Job& job, const PackedStrip& strip, const int16_t* w, const uint16_t* x,
               int32_t count, size_t valid, const uint8_t* residual, uint8_t* y) {
  for (; count >= 2; count -= 2, x += 2 * job.step, y += 2 * job.out_pitch) {
    StripOf<2, kResidual>(job, strip, w, x, valid, residual, y);
    if constexpr (kResidual) residual += 2 * job.out_pitch;
  }
  if (count) StripOf<1, kResidual>(job, strip, w, x, valid, residual, y);
}

void Run(const Conv& conv, const void* packed, const Extent& extent, const Task& task,
         void* scratch) {
  const Layout layout = LayoutOf(conv);
  const auto* strips = static_cast<const PackedStrip*>(packed);
  const auto* w =
      reinterpret_cast<const int16_t*>(static_cast<const uint8_t*>(packed) + WeightsOffset(layout));
  const Phases phases = PhasesOf(conv, extent, kStrip);
  const Requant q = MakeRequant(conv);
  const Scratch parts = ScratchOf(phases, layout.pairs * 2);
  auto* distances = static_cast<size_t*>(scratch);
  auto* columns = reinterpret_cast<PhaseColumns*>(static_cast<uint8_t*>(scratch) + parts.columns);
  auto* padded = reinterpret_cast<uint16_t*>(static_cast<uint8_t*>(scratch) + parts.rows);
  TapDistances(conv, phases, distances);
  AllColumns(conv, extent, phases, columns);
  const size_t taps = size_t{1} * conv.kernel_h * conv.kernel_w;
  if (taps % 2) distances[taps] = distances[taps - 1];
  const size_t out_pitch = size_t{1} * extent.out_w * conv.out_channels;
  const Job job = {q, distances, layout.pairs, conv.stride_h * phases.pitch, out_pitch};
  const int32_t step = RowsPerPiece(conv, phases, extent, kScratchTarget);
  for (int32_t begin = task.row_begin; begin < task.row_end; begin += step) {
    const int32_t end = begin + step < task.row_end ? begin + step : task.row_end;
    const Rows rows = RowsFor(conv, begin, end);
    for (int32_t i = 0; i < rows.count; ++i) {
      CopyRow(conv, extent, phases, columns, task.x, rows.first + i, padded + i * phases.pitch);
    }
    int32_t s = 0;
    size_t window = 0, in_pixel = 0;
    for (size_t at = 0; at < out_pitch; at += kStrip) {
      const size_t out = begin * out_pitch + at;
      const size_t left = out_pitch - at, valid = left < kStrip ? left : kStrip;
      const int16_t* strip_w = w + s * layout.pairs * 32;
      if (task.residual) {
        StripDown<true>(job, strips[s], strip_w, padded + window, end - begin, valid,
                        task.residual + out, task.y + out);
      } else {
        StripDown<false>(job, strips[s], strip_w, padded + window, end - begin, valid, nullptr,
                         task.y + out);
      }
      NextWindow(phases, kStrip, &window, &in_pixel);
      s = s + 1 == layout.period ? 0 : s + 1;
    }
  }
}

}  // namespace

extern const Kernel depthwise__x86_avx2 = {
    "product depthwise__x86_avx2",
    Isa::kX86Avx2,
    200'000,
    IsDepthwise,
    PackedBytes,
    PackWeights,
    ScratchBytes,
    Run,
};

}  // namespace squeeze::product
