// Dense convolution with decoded weights on the int8 tile units: two groups of 16 channels are
// decoded into tiles in the cache, which then meet all pixels. Few pixels are left to the vector
// units. Slots of a window are the bytes of its records, see product/x86_amx_records.h.
#include "product/x86_amx_blocks.h"
#include "product/x86_amx_pieces.h"
#include "qcodebook/x86_avx512_few.h"

namespace squeeze::qcodebook {
namespace {

bool Supports(const Conv& conv) { return FillsTiles(conv); }

template <int kBits>
SQUEEZE_INLINE Tables TablesOf(const Conv& conv, const Layout& layout) {
  return TablesFor<kBits>(conv.out_channels, static_cast<int32_t>(layout.group_bytes / kChannels));
}

SQUEEZE_INLINE size_t CutAt(const Tables& tables) { return (tables.bytes + 63) / 64 * 64; }

template <int kBits>
size_t PackedBytes(const Conv& conv) {
  const Layout layout = LayoutOf(conv);
  return CutAt(TablesOf<kBits>(conv, layout)) + (layout.joined ? sizeof(Cut) : 0);
}

template <int kBits>
void PackWeights(const Conv& conv, const Weights& weights, void* packed) {
  const Layout layout = LayoutOf(conv);
  const Tables tables = TablesOf<kBits>(conv, layout);
  PackIndices<kBits>(conv, weights, tables, packed, [&](int32_t i, int32_t kh, int32_t kw) {
    return ByteOf(conv, layout, i, kh, kw);
  });
  if (!layout.joined) return;
  MakeCut(conv, reinterpret_cast<Cut*>(static_cast<uint8_t*>(packed) + CutAt(tables)));
}

SQUEEZE_INLINE size_t PanelAt(const Conv& conv, const Extent& extent) {
  return (RecordBytes(conv, extent) + 63) / 64 * 64;
}

// Records, then the panel, or the windows of few pixels, which are smaller.
size_t ScratchBytes(const Conv& conv, const Extent& extent) {
  return PanelAt(conv, extent) + 2 * LayoutOf(conv).group_bytes;
}

// The window of each of `job.pixels` pixels in one piece, with zeros in slots without a weight.
SQUEEZE_INLINE void CopyWindows(const Job& job, const Coded& view, uint8_t* to) {
  const int32_t line_blocks = kLine / kBlock;
  for (int32_t pixel = 0; pixel < job.pixels; ++pixel) {
    const uint16_t* used = view.used;
    for (int32_t kh = 0; kh < job.layout.kernel_rows; ++kh) {
      const uint8_t* from = job.a + pixel * job.pixel_bytes + job.kernel_row[kh];
      for (int32_t i = 0; i < job.layout.lines * line_blocks; ++i, from += kBlock, to += kBlock) {
        const auto* bytes = reinterpret_cast<const __m128i*>(from);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                         _mm_maskz_mov_epi8(*used++, _mm_loadu_si128(bytes)));
      }
    }
  }
}

template <int kBits>
SQUEEZE_INLINE void RunCoded(const Job& job, const Tables& tables, const Coded& view,
                             int8_t* panel) {
  if (job.pixels <= kFewPixels) {
    auto* windows = reinterpret_cast<uint8_t*>(panel);
    CopyWindows(job, view, windows);
    const FewJob few = {job.conv, tables, view, job.q};
    return AnyFew<kBits>(few, windows, job.pixels, job.residual, job.y);
  }
  for (int32_t group = 0; group < tables.groups; group += 2) {
    const int32_t last = group + 2 < tables.groups ? group + 2 : tables.groups;
    for (int32_t g = group; g < last; ++g) {
      DecodePanel<kBits>(tables, view, g, panel + (g - group) * tables.panel_bytes);
    }
    // Blocks count weights from group 0 on.
    const int8_t* origin = panel - group * tables.panel_bytes;
    const Packed decoded = {view.bias, view.multiplier, origin};
    const Job of_groups = {job.conv,        job.layout,     decoded,    job.q,        job.a,
                           job.pixel_bytes, job.kernel_row, job.pixels, job.residual, job.y};
    RunPiece(of_groups, group, last);
  }
}

template <int kBits>
void Run(const Conv& conv, const void* packed, const Extent& extent, const Task& task,
         void* scratch) {
  const TileConfig tiles;
  const Layout layout = LayoutOf(conv);
  const Tables tables = TablesOf<kBits>(conv, layout);
  const Coded view = ViewOf(tables, packed);
  const Requant q = MakeRequant(conv);
  const Packed none = {};
  auto* records = static_cast<uint8_t*>(scratch);
  auto* panel = reinterpret_cast<int8_t*>(records + PanelAt(conv, extent));
  const size_t out_pitch = size_t{1} * extent.out_w * conv.out_channels;
  const auto* cut =
      reinterpret_cast<const Cut*>(static_cast<const uint8_t*>(packed) + CutAt(tables));
  ForEachPiece(conv, extent, layout, cut, task, records,
               [&](const uint8_t* a, const size_t* kernel_row, int32_t begin, int32_t end) {
                 const size_t out = begin * out_pitch;
                 const int32_t pixels = (end - begin) * extent.out_w;
                 const uint8_t* residual = task.residual ? task.residual + out : nullptr;
                 const Job job = {conv,       layout,
                                  none,       q,
                                  a,          layout.record_bytes,
                                  kernel_row, pixels,
                                  residual,   task.y + out * YBytes(conv)};
                 RunCoded<kBits>(job, tables, view, panel);
               });
}

constexpr int64_t kMacsPerTask = 4'000'000;
constexpr int32_t kLeastPixels = 64;

}  // namespace

extern const Kernel dense2__x86_amx = {
    2,
    {"qcodebook dense2__x86_amx", Isa::kX86Amx, kMacsPerTask, Supports, PackedBytes<2>,
     PackWeights<2>, ScratchBytes, Run<2>, kLeastPixels}};

extern const Kernel dense4__x86_amx = {
    4,
    {"qcodebook dense4__x86_amx", Isa::kX86Amx, kMacsPerTask, Supports, PackedBytes<4>,
     PackWeights<4>, ScratchBytes, Run<4>, kLeastPixels}};

}  // namespace squeeze::qcodebook
