// The dense kernel (one group) for a vector unit `S`: packing, the division of a task into blocks,
// and the two loops, of which each call takes one:
//
//   few pixels   dot products along the window. Weights are decoded in registers, once for every
//                block of pixels.
//   many pixels  a part of the weights of some channels is decoded into a panel [window][channel]
//                that stays in the first-level cache, and every block of pixels of the task adds an
//                outer product with it.
//
// The panel also serves layers whose channels have no table of their own.
//
// S has kLanes floats in Floats and as many 32-bit words in Bits, and a Table of 16 floats:
//   Zero, Load, LoadPart(from, count), Store, StorePart(to, v, count), Broadcast(from),
//   MulAdd(sum, a, b), LoadBits, Shift(bits, count), LoadTable,
//   Lookup(table, bits): the floats that the low 4 bits of every word name; higher bits are rubbish
//   Sum4(a, b, c, d, to): the sums of the lanes of four vectors, each added up in the same order
//   Transpose(v): kLanes vectors
//   kGroups, Pixels(groups): the largest blocks of the outer product, of kGroups * kLanes or kLanes
//   channels
//   kFewPixels: calls of up to so many pixels are "few"
//   FewChannels(pixels): channels of a block of 4, 2 or 1 pixels then
//
// S has to be a type of an anonymous namespace: all code here then has internal linkage.
#pragma once

#include <string.h>

#include "codebook/codebook.h"
#include "codebook/stream.h"

namespace squeeze::codebook {

// A window is `runs` pieces of `run` floats that follow each other in the image. Weights of a
// channel are cut into steps of kLanes along each run, and a line holds steps_per_line of them:
// step s of a line is bits s * table_bits and up of each of its kLanes words.
struct Layout {
  int32_t runs_per_row, run, window;
  int32_t steps_per_run, steps_per_line, lines;
  int32_t channels;  // rounded up to whole vectors
  size_t codebooks_at, lines_at, bytes;
};

template <typename S>
struct Dense {
  using Floats = typename S::Floats;
  static constexpr int kLanes = S::kLanes;
  static constexpr int32_t kPanelRows = 192;
  static constexpr int32_t kMaxPieces = 16;

  static bool Supports(const Layer& layer) { return layer.groups == 1; }

  static Layout LayoutOf(const Layer& layer) {
    Layout to = {};
    to.runs_per_row = layer.dilation_w == 1 ? 1 : layer.kernel_w;
    to.run = layer.in_channels * (layer.dilation_w == 1 ? layer.kernel_w : 1);
    to.window = to.run * to.runs_per_row * layer.kernel_h;
    to.channels = (layer.out_channels + kLanes - 1) / kLanes * kLanes;
    to.codebooks_at = to.channels * sizeof(float);  // behind the bias
    if (layer.table_bits) {
      const int32_t runs = to.runs_per_row * layer.kernel_h;
      to.steps_per_run = (to.run + kLanes - 1) / kLanes;
      to.steps_per_line = 32 / layer.table_bits;
      to.lines = (runs * to.steps_per_run + to.steps_per_line - 1) / to.steps_per_line;
      to.lines_at = to.codebooks_at + to.channels * kMaxTable * sizeof(float);
      const size_t words = size_t{1} * to.channels * to.lines * kLanes;
      to.bytes = to.lines_at + (words + 1) * sizeof(uint32_t);  // loads begin at any byte of a word
    } else {
      to.lines_at = to.codebooks_at + BookValues(layer) * sizeof(float);
      to.bytes = to.lines_at + StreamBytes(layer);
    }
    return to;
  }

  // The packed block. Without tables: the codebooks and the stream of the node.
  struct View {
    const float* bias;
    const float* codebooks;  // or [channels, kMaxTable]
    const uint32_t* lines;   // [channels, lines, kLanes]
    const uint8_t* stream;
  };
  static View ViewOf(const Layout& layout, const void* packed) {
    const auto* base = static_cast<const uint8_t*>(packed);
    return {
        reinterpret_cast<const float*>(base),
        reinterpret_cast<const float*>(base + layout.codebooks_at),
        reinterpret_cast<const uint32_t*>(base + layout.lines_at),
        base + layout.lines_at,
    };
  }

  static size_t PackedBytes(const Layer& layer) { return LayoutOf(layer).bytes; }

  // The place in [o, i, kh, kw] of what stands at `at` of run `run` in the window of channel `o`.
  static size_t PlaceOf(const Layer& layer, const Layout& layout, int32_t o, int32_t run,
                        int32_t at) {
    const int32_t kw = run % layout.runs_per_row + at / layer.in_channels;
    return WeightPlace(layer, o, at % layer.in_channels, run / layout.runs_per_row, kw);
  }

  static void Pack(const Layer& layer, const Weights& weights, void* packed) {
    const Layout layout = LayoutOf(layer);
    const View view = ViewOf(layout, packed);
    memcpy(packed, weights.bias, layer.out_channels * sizeof(float));
    auto* codebooks = const_cast<float*>(view.codebooks);
    if (!layer.table_bits) {
      memcpy(codebooks, weights.codebooks, BookValues(layer) * sizeof(float));
      memcpy(const_cast<uint8_t*>(view.stream), weights.indices, StreamBytes(layer));
      return;
    }
    auto* lines = const_cast<uint32_t*>(view.lines);
    const int32_t table_size = 1 << layer.table_bits;
    for (int32_t o = 0; o < layer.out_channels; ++o) {
      Table table = {};
      uint32_t* to = lines + size_t{1} * o * layout.lines * kLanes;
      for (int32_t run = 0; run < layout.runs_per_row * layer.kernel_h; ++run) {
        for (int32_t at = 0; at < layout.run; ++at) {
          const float weight = WeightAt(layer, weights, PlaceOf(layer, layout, o, run, at));
          const int32_t step = run * layout.steps_per_run + at / kLanes;
          const int32_t shift = step % layout.steps_per_line * layer.table_bits;
          to[step / layout.steps_per_line * kLanes + at % kLanes] |=
              static_cast<uint32_t>(table.IndexOf(weight)) << shift;
        }
      }
      // Copies of a small table stand in for masking the bits above an index.
      float* values = codebooks + o * kMaxTable;
      for (int32_t i = 0; i < kMaxTable; ++i) values[i] = table.value[i % table_size];
    }
  }

  // A part of the window: some of the floats of some runs.
  struct Piece {
    size_t x;  // floats from the beginning of the window
    int32_t run, at, count;
  };
  struct Part {
    int32_t pieces, rows;  // rows: floats of all pieces
    Piece piece[kMaxPieces];
  };

  // The part from float `at` of run `run` on, which both move behind it.
  static Part NextPart(const Layer& layer, const Layout& layout, size_t pitch, int32_t* run,
                       int32_t* at) {
    Part part;
    part.pieces = part.rows = 0;
    while (*run < layout.runs_per_row * layer.kernel_h && part.pieces < kMaxPieces) {
      // Runs are cut between steps only.
      const int32_t room = (kPanelRows - part.rows) / kLanes * kLanes, left = layout.run - *at;
      const int32_t count = left < room ? left : room;
      if (count == 0) break;
      const size_t row = size_t{1} * (*run / layout.runs_per_row) * layer.dilation_h * pitch;
      const size_t column =
          size_t{1} * (*run % layout.runs_per_row) * layer.dilation_w * layer.in_channels;
      part.piece[part.pieces++] = {row + column + *at, *run, *at, count};
      part.rows += count;
      *at += count;
      if (*at == layout.run) ++*run, *at = 0;
    }
    return part;
  }

  // The weights of kLanes channels from `first` on, [rows of the part][kLanes].
  static void DecodePanel(const Layer& layer, const Layout& layout, const View& view,
                          const Part& part, int32_t first, float* panel) {
    for (int32_t i = 0; i < part.pieces; ++i) {
      const Piece& piece = part.piece[i];
      if (layer.table_bits) {
        DecodePiece(layer, layout, view, piece, first, panel);
      } else {
        CopyPiece(layer, layout, view, piece, first, panel);
      }
      panel += size_t{1} * piece.count * kLanes;
    }
  }

  static void DecodePiece(const Layer& layer, const Layout& layout, const View& view,
                          const Piece& piece, int32_t first, float* panel) {
    const size_t channel_words = size_t{1} * layout.lines * kLanes;
    const float* tables = view.codebooks + first * kMaxTable;
    int32_t step = piece.run * layout.steps_per_run + piece.at / kLanes;
    for (int32_t left = piece.count; left > 0; left -= kLanes, ++step) {
      const size_t line = step / layout.steps_per_line;
      const int32_t shift = step % layout.steps_per_line * layer.table_bits;
      const uint32_t* words = view.lines + first * channel_words + line * kLanes;
      Floats v[kLanes];
#pragma GCC unroll 16
      for (int c = 0; c < kLanes; ++c) {
        const auto bits = S::Shift(
            S::LoadBits(reinterpret_cast<const uint8_t*>(words + c * channel_words)), shift);
        v[c] = S::Lookup(S::LoadTable(tables + c * kMaxTable), bits);
      }
      S::Transpose(v);
      if (left >= kLanes) {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) S::Store(panel + i * kLanes, v[i]);
        panel += kLanes * kLanes;
      } else {
        alignas(kAlignment) float some[kLanes][kLanes];
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) S::Store(some[i], v[i]);
        memcpy(panel, some, sizeof(float) * left * kLanes);
      }
    }
  }

  // The same without tables, weight by weight.
  static void CopyPiece(const Layer& layer, const Layout& layout, const View& view,
                        const Piece& piece, int32_t first, float* panel) {
    const Weights weights = {view.stream, view.codebooks, view.bias};
    for (int32_t i = 0; i < piece.count; ++i) {
      for (int32_t lane = 0; lane < kLanes; ++lane) {
        const int32_t o = first + lane;
        *panel++ =
            o < layer.out_channels
                ? WeightAt(layer, weights, PlaceOf(layer, layout, o, piece.run, piece.at + i))
                : 0;
      }
    }
  }

  // What stays the same for all blocks of one part of the window.
  struct Job {
    const Layer& layer;
    const Part& part;
    const float* panel;
    const float* bias;  // null behind the first part, which adds to y
    size_t pixel_step;  // floats from the window of one output to that of the next
  };

  // P pixels from window `x` on, G vectors of channels, `last` channels in the last of them.
  template <int P, int G>
  static void Block(const Job& job, const float* x, int32_t last, float* y) {
    const size_t y_step = job.layer.out_channels;
    const bool whole = last == kLanes;
    Floats sum[P][G];
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) {
        const float* from = y + p * y_step + g * kLanes;
        if (job.bias) {
          sum[p][g] = S::Load(job.bias + g * kLanes);
        } else {
          sum[p][g] = g + 1 < G || whole ? S::Load(from) : S::LoadPart(from, last);
        }
      }
    }
    const size_t panel_floats = size_t{1} * job.part.rows * kLanes;
    const float* w = job.panel;
    for (int32_t i = 0; i < job.part.pieces; ++i) {
      const Piece& piece = job.part.piece[i];
      const float* from = x + piece.x;
      for (int32_t k = 0; k < piece.count; ++k, w += kLanes) {
        Floats wv[G];
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g) wv[g] = S::Load(w + g * panel_floats);
#pragma GCC unroll 16
        for (int p = 0; p < P; ++p) {
          const Floats xv = S::Broadcast(from + p * job.pixel_step + k);
#pragma GCC unroll 4
          for (int g = 0; g < G; ++g) sum[p][g] = S::MulAdd(sum[p][g], xv, wv[g]);
        }
      }
    }
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) {
        float* to = y + p * y_step + g * kLanes;
        if (g + 1 < G || whole) {
          S::Store(to, sum[p][g]);
        } else {
          S::StorePart(to, sum[p][g], last);
        }
      }
    }
  }

  template <int P, int G>
  static int32_t Blocks(const Job& job, const float* x, int32_t last, int32_t done, int32_t count,
                        float* y) {
    for (; done + P <= count; done += P) {
      Block<P, G>(job, x + done * job.pixel_step, last,
                  y + size_t{1} * done * job.layer.out_channels);
    }
    return done;
  }

  template <int G>
  static void Row(const Job& job, const float* x, int32_t last, int32_t count, float* y) {
    int32_t done = Blocks<S::Pixels(G), G>(job, x, last, 0, count, y);
    if constexpr (S::Pixels(G) > 8) done = Blocks<8, G>(job, x, last, done, count, y);
    done = Blocks<4, G>(job, x, last, done, count, y);
    done = Blocks<2, G>(job, x, last, done, count, y);
    Blocks<1, G>(job, x, last, done, count, y);
  }

  static bool HasFewPixels(const Layer& layer, const Extent& extent) {
    return layer.table_bits && IsPointwise(layer) &&
           int64_t{extent.out_h} * extent.out_w <= S::kFewPixels;
  }

  static constexpr size_t kPanelFloats = size_t{1} * kPanelRows * kLanes * S::kGroups;

  static size_t ScratchBytes(const Layer& layer, const Extent& extent, int32_t rows) {
    if (HasFewPixels(layer, extent)) return 0;
    size_t floats = kPanelFloats;
    if (IsPadded(layer)) {
      floats +=
          size_t{1} * PaddedRows(layer, rows) * PaddedColumns(layer, extent) * layer.in_channels;
    }
    return floats * sizeof(float);
  }

  // Copies row `row` of the padded image, counted from the top of the padding, all `columns` of it.
  static void CopyPaddedRow(const Layer& layer, const Extent& extent, const float* x, int32_t row,
                            int32_t columns, float* to) {
    const size_t pixel = layer.in_channels * sizeof(float);
    auto* bytes = reinterpret_cast<uint8_t*>(to);
    const int32_t from = row - layer.pad_top;
    if (from < 0 || from >= extent.in_h) {
      memset(bytes, 0, columns * pixel);
      return;
    }
    const int32_t left = layer.pad_left < columns ? layer.pad_left : columns;
    const int32_t inside = extent.in_w < columns - left ? extent.in_w : columns - left;
    memset(bytes, 0, left * pixel);
    memcpy(bytes + left * pixel, x + size_t{1} * from * extent.in_w * layer.in_channels,
           inside * pixel);
    memset(bytes + (left + inside) * pixel, 0, (columns - left - inside) * pixel);
  }

  static void RunMany(const Layer& layer, const Layout& layout, const View& view,
                      const Extent& extent, const Task& task, float* scratch) {
    const int32_t rows = task.row_end - task.row_begin;
    size_t pitch = size_t{1} * extent.in_w * layer.in_channels;
    const float* x = task.x + task.row_begin * layer.stride_h * pitch;
    if (IsPadded(layer)) {
      const int32_t columns = PaddedColumns(layer, extent);
      float* padded = scratch + kPanelFloats;
      pitch = size_t{1} * columns * layer.in_channels;
      for (int32_t i = 0; i < PaddedRows(layer, rows); ++i) {
        CopyPaddedRow(layer, extent, task.x, task.row_begin * layer.stride_h + i, columns,
                      padded + i * pitch);
      }
      x = padded;
    }
    const size_t pixel_step = size_t{1} * layer.stride_w * layer.in_channels;
    const bool one_row = IsPointwise(layer);
    const int32_t count = one_row ? rows * extent.out_w : extent.out_w;
    const size_t row_floats = size_t{1} * extent.out_w * layer.out_channels;
    for (int32_t channel = task.channel_begin; channel < task.channel_end;) {
      const bool wide = channel + S::kGroups * kLanes <= task.channel_end;
      const int32_t groups = wide ? S::kGroups : 1;
      const int32_t left = task.channel_end - channel;
      const int32_t last = wide || left > kLanes ? kLanes : left;
      const float* bias = view.bias + channel;
      for (int32_t run = 0, at = 0; run < layout.runs_per_row * layer.kernel_h; bias = nullptr) {
        const Part part = NextPart(layer, layout, pitch, &run, &at);
        for (int32_t g = 0; g < groups; ++g) {
          DecodePanel(layer, layout, view, part, channel + g * kLanes,
                      scratch + size_t{1} * g * part.rows * kLanes);
        }
        const Job job = {layer, part, scratch, bias, pixel_step};
        for (int32_t row = 0; row < (one_row ? 1 : rows); ++row) {
          const float* from = x + size_t{1} * row * layer.stride_h * pitch;
          float* to = task.y + (task.row_begin + row) * row_floats + channel;
          wide ? Row<S::kGroups>(job, from, last, count, to) : Row<1>(job, from, last, count, to);
        }
      }
      channel += groups * kLanes;
    }
  }

  // P pixels, channels `channel` .. `channel` + C - 1, of which the first `valid` are wanted.
  template <int P, int C>
  static void DotBlock(const Layer& layer, const Layout& layout, const View& view, const float* x,
                       int32_t channel, int32_t valid, float* y) {
    static_assert(P * C % 4 == 0 && C <= kLanes);
    const size_t step_x = layer.in_channels;
    const size_t channel_words = size_t{1} * layout.lines * kLanes;
    const uint32_t* lines = view.lines + channel * channel_words;
    typename S::Table tables[C];
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) {
      tables[c] = S::LoadTable(view.codebooks + (channel + c) * kMaxTable);
    }
    Floats sum[P][C];
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) sum[p][c] = S::Zero();
    }
    const auto load = [](const float* from) [[gnu::always_inline]] { return S::Load(from); };
    int32_t left = layout.window;
    for (int32_t l = 0; l < layout.lines; ++l, lines += kLanes) {
      typename S::Bits bits[C];
      // Step `s` of the line, and what is above it; s * table_bits has to be whole bytes.
      const auto fetch = [&](int32_t s) [[gnu::always_inline]] {
        const auto* bytes = reinterpret_cast<const uint8_t*>(lines) + s * layer.table_bits / 8;
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) bits[c] = S::LoadBits(bytes + c * channel_words * 4);
      };
      const auto step = [&](auto load_x, int32_t shift) [[gnu::always_inline]] {
        Floats w[C];
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) {
          w[c] = S::Lookup(tables[c], bits[c]);
          bits[c] = S::Shift(bits[c], shift);
        }
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) {
          const Floats xv = load_x(x + p * step_x);
#pragma GCC unroll 8
          for (int c = 0; c < C; ++c) sum[p][c] = S::MulAdd(sum[p][c], xv, w[c]);
        }
        x += kLanes;
        left -= kLanes;
      };
      const int32_t whole = left / kLanes;
      const int32_t steps = whole < layout.steps_per_line ? whole : layout.steps_per_line;
      int32_t s = 0;
      if (layer.table_bits == 4) {  // a load from the next byte saves every other shift
        for (; s + 2 <= steps; s += 2) {
          fetch(s);
          step(load, 4);
          step(load, 4);
        }
      }
      fetch(s);
      for (; s < steps; ++s) step(load, layer.table_bits);
      if (s < layout.steps_per_line && left > 0) {
        const int32_t part = left;
        const auto load_part = [part](const float* from)
                                   [[gnu::always_inline]] { return S::LoadPart(from, part); };
        step(load_part, 0);
      }
    }
    float total[P][C];
#pragma GCC unroll 16
    for (int i = 0; i < P * C; i += 4) {
      S::Sum4(sum[i / C][i % C], sum[(i + 1) / C][(i + 1) % C], sum[(i + 2) / C][(i + 2) % C],
              sum[(i + 3) / C][(i + 3) % C], &total[0][0] + i);
    }
    const float* bias = view.bias + channel;
    const size_t step_y = layer.out_channels;
    if (valid >= C) {
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) y[p * step_y + c] = total[p][c] + bias[c];
      }
    } else {
      for (int p = 0; p < P; ++p) {
        for (int c = 0; c < valid; ++c) y[p * step_y + c] = total[p][c] + bias[c];
      }
    }
  }

  template <int P>
  static int32_t DotBlocks(const Layer& layer, const Layout& layout, const View& view,
                           const Task& task, int32_t pixel, int32_t end) {
    constexpr int kChannels = S::FewChannels(P);
    for (; pixel + P <= end; pixel += P) {
      const float* x = task.x + size_t{1} * pixel * layer.in_channels;
      float* y = task.y + size_t{1} * pixel * layer.out_channels;
      for (int32_t o = task.channel_begin; o < task.channel_end; o += kChannels) {
        DotBlock<P, kChannels>(layer, layout, view, x, o, task.channel_end - o, y + o);
      }
    }
    return pixel;
  }

  static void RunFew(const Layer& layer, const Layout& layout, const View& view,
                     const Extent& extent, const Task& task) {
    const int32_t end = task.row_end * extent.out_w;
    int32_t pixel = task.row_begin * extent.out_w;
    pixel = DotBlocks<4>(layer, layout, view, task, pixel, end);
    pixel = DotBlocks<2>(layer, layout, view, task, pixel, end);
    DotBlocks<1>(layer, layout, view, task, pixel, end);
  }

  static void Run(const Layer& layer, const void* packed, const Extent& extent, const Task& task,
                  void* scratch) {
    const Layout layout = LayoutOf(layer);
    const View view = ViewOf(layout, packed);
    if (HasFewPixels(layer, extent)) {
      RunFew(layer, layout, view, extent, task);
    } else {
      RunMany(layer, layout, view, extent, task, static_cast<float*>(scratch));
    }
  }
};

}  // namespace squeeze::codebook
