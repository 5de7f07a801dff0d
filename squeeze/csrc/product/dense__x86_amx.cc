// Dense convolution with the int8 tile units (AMX): x86_amx_records.h lays the windows out,
// x86_amx_blocks.h multiplies.
#include "product/x86_amx_blocks.h"
#include "product/x86_amx_pieces.h"

namespace squeeze::product {
namespace {

bool Supports(const Conv& conv) { return FillsTiles(conv); }

size_t PackedBytes(const Conv& conv) {
  const Layout layout = LayoutOf(conv);
  return layout.groups * (kLanes * 8 + layout.group_bytes) + (layout.joined ? sizeof(Cut) : 0);
}

void PackWeights(const Conv& conv, const Weights& weights, void* packed) {
  const Layout layout = LayoutOf(conv);
  const Packed view = View(layout, packed);
  auto* bias = const_cast<int32_t*>(view.bias);
  auto* multiplier = const_cast<float*>(view.multiplier);
  auto* w = const_cast<int8_t*>(view.w);
  if (layout.joined) MakeCut(conv, reinterpret_cast<Cut*>(w + layout.groups * layout.group_bytes));
  const int8_t* from = weights.w;
  for (int32_t o = 0; o < conv.out_channels; ++o) {
    bias[o] = FoldedBias(conv, weights, o);
    multiplier[o] = weights.multiplier[o];
    for (int32_t i = 0; i < conv.in_channels; ++i) {
      for (int32_t kh = 0; kh < conv.kernel_h; ++kh) {
        for (int32_t kw = 0; kw < conv.kernel_w; ++kw) {
          const int32_t byte = ByteOf(conv, layout, i, kh, kw);
          w[o / kLanes * layout.group_bytes + byte / 4 * 64 + o % kLanes * 4 + byte % 4] = *from++;
        }
      }
    }
  }
}

size_t ScratchBytes(const Conv& conv, const Extent& extent) { return RecordBytes(conv, extent); }

void Run(const Conv& conv, const void* packed, const Extent& extent, const Task& task,
         void* scratch) {
  const TileConfig tiles;
  const Layout layout = LayoutOf(conv);
  const Packed view = View(layout, packed);
  const Requant q = MakeRequant(conv);
  const size_t out_pitch = size_t{1} * extent.out_w * conv.out_channels;
  const auto* cut = reinterpret_cast<const Cut*>(view.w + layout.groups * layout.group_bytes);
  ForEachPiece(conv, extent, layout, cut, task, static_cast<uint8_t*>(scratch),
               [&](const uint8_t* a, const size_t* kernel_row, int32_t begin, int32_t end) {
                 const size_t out = begin * out_pitch;
                 const int32_t pixels = (end - begin) * extent.out_w;
                 const uint8_t* residual = task.residual ? task.residual + out : nullptr;
                 const Job job = {conv,       layout,
                                  view,       q,
                                  a,          layout.record_bytes,
                                  kernel_row, pixels,
                                  residual,   task.y + out * YBytes(conv)};
                 RunPiece(job, 0, layout.groups);
               });
}

}  // namespace

extern const Kernel dense__x86_amx = {
    "product dense__x86_amx",
    Isa::kX86Amx,
    4'000'000,
    Supports,
    PackedBytes,
    PackWeights,
    ScratchBytes,
    Run,
};

}  // namespace squeeze::product
