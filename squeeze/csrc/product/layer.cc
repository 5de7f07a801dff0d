#include "product/layer.h"

#include <math.h>
#include <string.h>

#include "base/scratch.h"
#include "bytes/bytes.h"

namespace squeeze::product {
namespace {

constexpr float kMaxRatio = 1 << 20;

}  // namespace

abi::Status* PackLayer(const Reader& read, const Signature& signature, const Scales& scales,
                       const images::Geometry& geometry, int32_t first, const int8_t* w,
                       Select select, Isa isa, Layer* layer) {
  const char* where = read.where();
  const char* rounded = signature.Rounded();
  Conv& conv = layer->conv;
  conv = {};
  static_cast<images::Geometry&>(conv) = geometry;
  conv.x_zero_point = scales.x.zero_point;
  conv.conv_zero_point = scales.product.zero_point;
  conv.has_residual = signature.tail == Tail::kAdd;
  conv.has_real_y = signature.IsReal();
  conv.residual_zero_point = scales.residual.zero_point;
  conv.y_zero_point = scales.y.zero_point;
  conv.conv_ratio = scales.product.scale / scales.y.scale;
  conv.residual_ratio = scales.residual.scale / scales.y.scale;
  if (conv.has_residual && !(conv.conv_ratio < kMaxRatio && conv.residual_ratio < kMaxRatio)) {
    return Fail(read.api(), "%s: %s_scale and residual_scale must be below 2^20 * y_scale", where,
                rounded);
  }
  const Memory multipliers(conv.out_channels * sizeof(float));
  auto* multiplier = multipliers.As<float>();
  if (!multiplier) return Fail(read.api(), "%s: out of memory", where);
  for (int32_t o = 0; o < conv.out_channels; ++o) {
    multiplier[o] = scales.x.scale * scales.w[first + o] / scales.product.scale;
    if (!isfinite(multiplier[o]) || multiplier[o] < 0) {
      return Fail(read.api(), "%s: %s_scale * %s[%d]%s%s%s is %g, expected a number from 0 on",
                  where, signature.x, signature.weights_scale, first + o,
                  conv.has_real_y ? "" : " / ", conv.has_real_y ? "" : rounded,
                  conv.has_real_y ? "" : "_scale", static_cast<double>(multiplier[o]));
    }
  }
  const Weights weights = {w, scales.bias + first, multiplier};
  layer->kernel = &select(conv, weights, isa);
  const size_t bytes = layer->kernel->packed_bytes(conv);
  if (!layer->packed.Allocate(bytes)) {
    return Fail(read.api(), "%s: out of memory for %zu bytes of weights", where, bytes);
  }
  memset(layer->packed.As<void>(), 0, bytes);
  layer->kernel->pack(conv, weights, layer->packed.As<void>());
  return nullptr;
}

Finish FinishFor(const Scales& scales, Isa isa) {
  Finish finish = {};
  finish.isa = isa;
  finish.has_table = scales.table;
  finish.turns_signs = scales.y.is_signed && !finish.has_table;
  for (int i = 0; finish.has_table && i < 256; ++i) {
    finish.table[i] = scales.table[scales.y.is_signed ? i ^ kSignBit : i];
  }
  return finish;
}

void Finish::Apply(uint8_t* bytes, size_t count) const {
  if (turns_signs) TurnSigns(isa, bytes, count, bytes);
  if (has_table) LookUp(isa, table, bytes, count);
}

bool RunTask(const Layer& layer, const Finish& finish, const Extent& extent, const Task& task,
             size_t scratch_bytes) {
  const void* packed = layer.packed.As<void>();
  const bool ran = WithScratch(scratch_bytes, [&](void* scratch) {
    layer.kernel->run(layer.conv, packed, extent, task, scratch);
  });
  if (!ran) return false;
  if (layer.conv.has_real_y) return true;
  const size_t row_bytes = size_t{1} * extent.out_w * layer.conv.out_channels;
  finish.Apply(task.y + task.row_begin * row_bytes, (task.row_end - task.row_begin) * row_bytes);
  return true;
}

}  // namespace squeeze::product
