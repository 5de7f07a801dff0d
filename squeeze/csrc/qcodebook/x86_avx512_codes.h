// Indices of levels as AVX-512 decodes them, for kernels whose decoded weights have the layout
// [quad of slots][16 channels][4]. Internal linkage only, see rows.h.
//
// A 16-byte lane of a vector belongs to one output channel, holds 16 consecutive slots of its
// window, and meets the table of that channel in the same lane of a register. Four such vectors are
// 16 channels.
#pragma once

#include "product/x86_avx512.h"
#include "qcodebook/levels.h"
#include "qcodebook/qcodebook.h"

namespace squeeze::qcodebook {
namespace {

using namespace product;

constexpr int32_t kChannels = 16;  // that are decoded together
constexpr int32_t kBlock = 16;     // slots of a channel that are decoded at once
constexpr int32_t kQuarter = 4;    // vectors of them for kChannels channels

// The window of one output is cut into slots of one byte each; slots that fill it up have no
// weight. How many there are, and where things lie in the packed block.
struct Tables {
  int32_t groups;      // of kChannels channels
  int32_t blocks;      // of kBlock slots
  size_t block_bytes;  // indices of kChannels channels
  size_t panel_bytes;  // decoded weights of one group
  size_t tables_at, used_at, indices_at, bytes;
};

template <int kBits>
SQUEEZE_INLINE Tables TablesFor(int32_t out_channels, int32_t slots) {
  Tables to = {};
  to.groups = (out_channels + kChannels - 1) / kChannels;
  to.blocks = (slots + kBlock - 1) / kBlock;
  to.block_bytes = kBlock * kChannels * kBits / 8;
  to.panel_bytes = size_t{1} * to.blocks * kBlock * kChannels;
  const size_t groups = to.groups;
  to.tables_at = groups * kChannels * 8;  // behind bias and multiplier
  to.used_at = to.tables_at + groups * kChannels * kMostLevels;
  to.indices_at = to.used_at + (to.blocks * sizeof(uint16_t) + 63) / 64 * 64;
  to.bytes = to.indices_at + groups * to.blocks * to.block_bytes;
  return to;
}

struct Coded {
  const int32_t* bias;      // [groups * 16]
  const float* multiplier;  // [groups * 16]
  const int8_t* tables;     // [groups][4][4 lanes][16]: lane l of vector v is channel 4 * l + v
  const uint16_t* used;     // [blocks]: which slots have a weight
  const uint8_t* indices;   // [groups][blocks][block_bytes]
};

SQUEEZE_INLINE Coded ViewOf(const Tables& tables, const void* packed) {
  const auto* base = static_cast<const uint8_t*>(packed);
  const auto* bias = reinterpret_cast<const int32_t*>(base);
  const size_t outputs = size_t{1} * tables.groups * kChannels;
  return {
      bias,
      reinterpret_cast<const float*>(bias + outputs),
      reinterpret_cast<const int8_t*>(base + tables.tables_at),
      reinterpret_cast<const uint16_t*>(base + tables.used_at),
      base + tables.indices_at,
  };
}

// `slot_of(i, kh, kw)`: the slot of a weight.
template <int kBits, typename SlotOf>
SQUEEZE_INLINE void PackIndices(const Conv& conv, const Weights& weights, const Tables& tables,
                                void* packed, SlotOf slot_of) {
  const Coded view = ViewOf(tables, packed);
  const size_t per_output = WeightsPerOutput(conv);
  constexpr int kPerByte = 8 / kBits;
  for (int32_t o = 0; o < conv.out_channels; ++o) {
    const_cast<int32_t*>(view.bias)[o] = FoldedBias(conv, weights, o);
    const_cast<float*>(view.multiplier)[o] = weights.multiplier[o];
    const int8_t* from = weights.w + o * per_output;
    const Levels levels = LevelsOf(from, per_output);
    const size_t group = o / kChannels, lane = o % kChannels / kQuarter, vector = o % kQuarter;
    auto* table = const_cast<int8_t*>(view.tables) + group * kChannels * kMostLevels;
    memcpy(table + vector * 64 + lane * kMostLevels, levels.level, levels.count);
    auto* indices = const_cast<uint8_t*>(view.indices) + group * tables.blocks * tables.block_bytes;
    for (int32_t i = 0; i < conv.in_channels; ++i) {
      for (int32_t kh = 0; kh < conv.kernel_h; ++kh) {
        for (int32_t kw = 0; kw < conv.kernel_w; ++kw) {
          const int32_t slot = slot_of(i, kh, kw);
          const uint32_t index = levels.index[static_cast<uint8_t>(*from++)];
          const size_t at = slot / kBlock * tables.block_bytes + vector / kPerByte * 64 +
                            lane * kBlock + slot % kBlock;
          indices[at] |= static_cast<uint8_t>(index << vector % kPerByte * kBits);
          const_cast<uint16_t*>(view.used)[slot / kBlock] |= uint16_t{1} << slot % kBlock;
        }
      }
    }
  }
}

// The indices of 16 slots of 16 channels, one in each byte.
template <int kBits>
SQUEEZE_INLINE void LoadIndices(const uint8_t* from, __m512i (&to)[kQuarter]) {
  constexpr int kPerByte = 8 / kBits;
  const __m512i mask = _mm512_set1_epi8((1 << kBits) - 1);
#pragma GCC unroll 4
  for (int v = 0; v < kQuarter; ++v) {
    const __m512i bytes = _mm512_loadu_si512(from + v / kPerByte * 64);
    to[v] = _mm512_and_si512(_mm512_srli_epi16(bytes, v % kPerByte * kBits), mask);
  }
}

SQUEEZE_INLINE void LoadTables(const Coded& view, int32_t group, __m512i (&to)[kQuarter]) {
  const int8_t* tables = view.tables + size_t{1} * group * kChannels * kMostLevels;
#pragma GCC unroll 4
  for (int v = 0; v < kQuarter; ++v) to[v] = _mm512_loadu_si512(tables + v * 64);
}

// The weights of `group` as the dense blocks read them: [quad][16 channels][4].
template <int kBits>
SQUEEZE_INLINE void DecodePanel(const Tables& tables, const Coded& view, int32_t group,
                                int8_t* panel) {
  __m512i table[kQuarter];
  LoadTables(view, group, table);
  const uint8_t* indices = view.indices + group * tables.blocks * tables.block_bytes;
  for (int32_t block = 0; block < tables.blocks; ++block) {
    const __mmask64 used = view.used[block] * 0x0001000100010001ull;
    __m512i w[kQuarter];
    LoadIndices<kBits>(indices, w);
#pragma GCC unroll 4
    for (int v = 0; v < kQuarter; ++v) w[v] = _mm512_maskz_shuffle_epi8(used, table[v], w[v]);
    const __m512i low01 = _mm512_unpacklo_epi32(w[0], w[1]);
    const __m512i low23 = _mm512_unpacklo_epi32(w[2], w[3]);
    const __m512i high01 = _mm512_unpackhi_epi32(w[0], w[1]);
    const __m512i high23 = _mm512_unpackhi_epi32(w[2], w[3]);
    _mm512_storeu_si512(panel, _mm512_unpacklo_epi64(low01, low23));
    _mm512_storeu_si512(panel + 64, _mm512_unpackhi_epi64(low01, low23));
    _mm512_storeu_si512(panel + 128, _mm512_unpacklo_epi64(high01, high23));
    _mm512_storeu_si512(panel + 192, _mm512_unpackhi_epi64(high01, high23));
    indices += tables.block_bytes;
    panel += kBlock * kChannels;
  }
}

// Lane l of v[i] holds four parts of channel 4 * l + i; the sums, in the order of channels.
SQUEEZE_INLINE __m512i AddParts(const __m512i (&v)[kQuarter]) {
  const __m512i a =
      _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
  const __m512i b =
      _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
  return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

}  // namespace

}  // namespace squeeze::qcodebook
