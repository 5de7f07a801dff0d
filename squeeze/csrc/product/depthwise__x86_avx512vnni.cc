// Depthwise convolution, any kernel size, stride, dilation and padding, with VNNI dot products.
//
// Works on 64 consecutive bytes of an output row at a time, whatever pixels and channels they are.
// Four taps are interleaved to dwords by unpacks, one dot product and 16 results per quarter; packs
// and packus undo the unpacks: no permutation at all. Kernels of odd squares leave one tap over,
// which is widened alone.
#include "product/depthwise.h"
#include "product/x86_avx512_rows.h"

namespace squeeze::product {
namespace {

constexpr size_t kScratchTarget = 24 * 1024;
constexpr size_t kOverRead = 64;
constexpr int32_t kStrip = 64;

struct PackedStrip {
  int32_t bias[4][16];
  float multiplier[4][16];
};

struct Layout {
  int32_t period;
  size_t taps, quads;
};

SQUEEZE_INLINE Layout LayoutOf(const Conv& conv) {
  const size_t taps = size_t{1} * conv.kernel_h * conv.kernel_w;
  return {Period(conv, kStrip), taps, (taps + 3) / 4};
}

// After the strips: weights [period][quads][quarter][16][4].
SQUEEZE_INLINE size_t WeightsOffset(const Layout& layout) {
  return layout.period * sizeof(PackedStrip);
}

size_t PackedBytes(const Conv& conv) {
  const Layout layout = LayoutOf(conv);
  return WeightsOffset(layout) + layout.period * layout.quads * 256;
}

void PackWeights(const Conv& conv, const Weights& weights, void* packed) {
  const Layout layout = LayoutOf(conv);
  auto* strips = static_cast<PackedStrip*>(packed);
  auto* w = static_cast<int8_t*>(packed) + WeightsOffset(layout);
  for (int32_t s = 0; s < layout.period; ++s) {
    for (int32_t quarter = 0; quarter < 4; ++quarter) {
      for (int32_t lane = 0; lane < 16; ++lane) {
        const int32_t byte = lane / 4 * 16 + quarter * 4 + lane % 4;  // where unpacks take it from
        const int32_t channel = (s * kStrip + byte) % conv.in_channels;
        strips[s].bias[quarter][lane] = FoldedBias(conv, weights, channel);
        strips[s].multiplier[quarter][lane] = weights.multiplier[channel];
        for (size_t tap = 0; tap < layout.taps; ++tap) {
          w[((s * layout.quads + tap / 4) * 4 + quarter) * 64 + lane * 4 + tap % 4] =
              weights.w[channel * layout.taps + tap];
        }
      }
    }
  }
}

size_t ScratchBytes(const Conv& conv, const Extent& extent) {
  const Phases phases = PhasesOf(conv, extent, kStrip);
  const int32_t rows = RowsFor(conv, 0, RowsPerPiece(conv, phases, extent, kScratchTarget)).count;
  return ScratchOf(phases, LayoutOf(conv).quads * 4).rows + rows * phases.pitch + kOverRead;
}

struct Quarters {
  __m512i v[4];
};

SQUEEZE_INLINE Quarters Interleave(__m512i a, __m512i b, __m512i c, __m512i d) {
  const __m512i ab_low = _mm512_unpacklo_epi8(a, b), ab_high = _mm512_unpackhi_epi8(a, b);
  const __m512i cd_low = _mm512_unpacklo_epi8(c, d), cd_high = _mm512_unpackhi_epi8(c, d);
  return {{_mm512_unpacklo_epi16(ab_low, cd_low), _mm512_unpackhi_epi16(ab_low, cd_low),
           _mm512_unpacklo_epi16(ab_high, cd_high), _mm512_unpackhi_epi16(ab_high, cd_high)}};
}

// The same with zeros for b, c and d.
SQUEEZE_INLINE Quarters Widen(__m512i a) {
  const __m512i zero = _mm512_setzero_si512();
  const __m512i low = _mm512_unpacklo_epi8(a, zero), high = _mm512_unpackhi_epi8(a, zero);
  return {{_mm512_unpacklo_epi16(low, zero), _mm512_unpackhi_epi16(low, zero),
           _mm512_unpacklo_epi16(high, zero), _mm512_unpackhi_epi16(high, zero)}};
}

SQUEEZE_INLINE Quarters LoadQuarters(const void* from) {
  const auto* bytes = static_cast<const uint8_t*>(from);
  return {{_mm512_loadu_si512(bytes), _mm512_loadu_si512(bytes + 64),
           _mm512_loadu_si512(bytes + 128), _mm512_loadu_si512(bytes + 192)}};
}

SQUEEZE_INLINE void DotQuarters(Quarters& acc, const Quarters& x, const Quarters& w) {
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) Dot4(acc.v[i], x.v[i], w.v[i]);
}

// What stays the same for all strips of a call.
struct Job {
  const Requant& q;
  const size_t* distances;
  size_t taps;
  size_t step;  // bytes from the window of one output row to that of the next
  size_t out_pitch;
};

// One strip through `count` output rows. `x`: its window of the first one. `kNine`: of nine
// taps the weights stay in registers.
template <bool kNine, bool kResidual>
void StripDown(const Job& job, const PackedStrip& strip, const int8_t* w, const uint8_t* x,
               int32_t count, __mmask64 mask, const uint8_t* residual, uint8_t* y) {
  const size_t* distances = job.distances;
  Quarters nine[3];
  if constexpr (kNine) {
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) nine[i] = LoadQuarters(w + i * 256);
  }
  for (int32_t row = 0; row < count; ++row, x += job.step, y += job.out_pitch) {
    Quarters acc = LoadQuarters(strip.bias);
    const auto quad_at = [&](size_t quad) {
      const size_t* d = distances + 4 * quad;
      return Interleave(_mm512_loadu_si512(x + d[0]), _mm512_loadu_si512(x + d[1]),
                        _mm512_loadu_si512(x + d[2]), _mm512_loadu_si512(x + d[3]));
    };
    if constexpr (kNine) {
      DotQuarters(acc, quad_at(0), nine[0]);
      DotQuarters(acc, quad_at(1), nine[1]);
      DotQuarters(acc, Widen(_mm512_loadu_si512(x + distances[8])), nine[2]);
    } else {
      size_t quad = 0;
      for (; 4 * quad + 1 < job.taps; ++quad) {
        DotQuarters(acc, quad_at(quad), LoadQuarters(w + quad * 256));
      }
      if (4 * quad < job.taps) {
        DotQuarters(acc, Widen(_mm512_loadu_si512(x + distances[4 * quad])),
                    LoadQuarters(w + quad * 256));
      }
    }
    Quarters wide_residual;
    if constexpr (kResidual) {
      wide_residual = Widen(_mm512_maskz_loadu_epi8(mask, residual));
      residual += job.out_pitch;
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const __m512 multiplier = _mm512_loadu_ps(strip.multiplier[i]);
      if constexpr (kResidual) {
        acc.v[i] = ScaleAndAdd(acc.v[i], multiplier, wide_residual.v[i], job.q);
      } else {
        acc.v[i] = Scale(acc.v[i], multiplier);
      }
    }
    StoreBytes(y, mask, PackLanes(acc.v[0], acc.v[1], acc.v[2], acc.v[3], job.q));
  }
}

using StripFunction = decltype(&StripDown<false, false>);

StripFunction StripFor(size_t taps, bool residual) {
  if (residual) return taps == 9 ? StripDown<true, true> : StripDown<false, true>;
  return taps == 9 ? StripDown<true, false> : StripDown<false, false>;
}

void Run(const Conv& conv, const void* packed, const Extent& extent, const Task& task,
         void* scratch) {
  const Layout layout = LayoutOf(conv);
  const auto* strips = static_cast<const PackedStrip*>(packed);
  const auto* w = static_cast<const int8_t*>(packed) + WeightsOffset(layout);
  const Phases phases = PhasesOf(conv, extent, kStrip);
  const Requant q = MakeRequant(conv);
  const Scratch parts = ScratchOf(phases, layout.quads * 4);
  auto* distances = static_cast<size_t*>(scratch);
  auto* columns = reinterpret_cast<PhaseColumns*>(static_cast<uint8_t*>(scratch) + parts.columns);
  uint8_t* padded = static_cast<uint8_t*>(scratch) + parts.rows;
  TapDistances(conv, phases, distances);
  AllColumns(conv, extent, phases, columns);
  for (size_t tap = layout.taps; tap < layout.quads * 4; ++tap) distances[tap] = 0;
  const size_t out_pitch = size_t{1} * extent.out_w * conv.out_channels;
  const Job job = {q, distances, layout.taps, conv.stride_h * phases.pitch, out_pitch};
  const StripFunction strip_down = StripFor(layout.taps, task.residual);
  const int32_t step = RowsPerPiece(conv, phases, extent, kScratchTarget);
  for (int32_t begin = task.row_begin; begin < task.row_end; begin += step) {
    const int32_t end = begin + step < task.row_end ? begin + step : task.row_end;
    const Rows rows = RowsFor(conv, begin, end);
    for (int32_t i = 0; i < rows.count; ++i) {
      LayPhasedRow(conv, extent, phases, columns, task.x, rows.first + i,
                   padded + i * phases.pitch);
    }
    int32_t s = 0;
    size_t window = 0, in_pixel = 0;
    for (size_t at = 0; at < out_pitch; at += kStrip) {
      const size_t out = begin * out_pitch + at;
      const __mmask64 mask = FirstBytes(out_pitch - at);
      strip_down(job, strips[s], w + s * layout.quads * 256, padded + window, end - begin, mask,
                 task.residual ? task.residual + out : nullptr, task.y + out);
      NextWindow(phases, kStrip, &window, &in_pixel);
      s = s + 1 == layout.period ? 0 : s + 1;
    }
  }
}

}  // namespace

extern const Kernel depthwise__x86_avx512vnni = {
    "product depthwise__x86_avx512vnni",
    Isa::kX86Avx512Vnni,
    500'000,
    IsDepthwise,
    PackedBytes,
    PackWeights,
    ScratchBytes,
    Run,
};

}  // namespace squeeze::product
