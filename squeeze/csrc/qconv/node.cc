#include "qconv/node.h"

#include <math.h>
#include <string.h>

#include <initializer_list>

namespace squeeze::qconv {
namespace {

using abi::ElementType;

constexpr int64_t kMaxWeights = 1 << 30;
constexpr float kMaxRatio = 1 << 20;

abi::Status* ReadGeometry(const Reader& read, Conv* conv) {
  int32_t* const strides[] = {&conv->stride_h, &conv->stride_w};
  int32_t* const dilations[] = {&conv->dilation_h, &conv->dilation_w};
  int32_t* const pads[] = {&conv->pad_top, &conv->pad_left, &conv->pad_bottom, &conv->pad_right};
  SQUEEZE_RETURN_IF_ERROR(read.Sizes("strides", 1, 2, strides));
  SQUEEZE_RETURN_IF_ERROR(read.Sizes("dilations", 1, 2, dilations));
  SQUEEZE_RETURN_IF_ERROR(read.Sizes("pads", 0, 4, pads));
  int64_t group = 0;
  SQUEEZE_RETURN_IF_ERROR(read.Int("group", 1, kMaxSize, &group));
  conv->groups = static_cast<int32_t>(group);
  return nullptr;
}

abi::Status* ReadOrder(const Reader& read, const char* name, const int64_t (&channels_last)[4],
                       Order* order) {
  constexpr int64_t kChannelsFirst[4] = {0, 1, 2, 3};
  int64_t perm[4];
  SQUEEZE_RETURN_IF_ERROR(read.Ints(name, perm, 4));
  if (memcmp(perm, kChannelsFirst, sizeof perm) == 0) {
    *order = Order::kChannelsFirst;
  } else if (memcmp(perm, channels_last, sizeof perm) == 0) {
    *order = Order::kChannelsLast;
  } else {
    return Fail(read.api(), "%s: attribute %s must be [0, 1, 2, 3] or [%lld, %lld, %lld, %lld]",
                read.where(), name, static_cast<long long>(channels_last[0]),
                static_cast<long long>(channels_last[1]), static_cast<long long>(channels_last[2]),
                static_cast<long long>(channels_last[3]));
  }
  return nullptr;
}

abi::Status* CheckWeights(const Reader& read, const Tensor& w, const Tensor& w_scale,
                          const Tensor& bias) {
  if (w.rank != 4)
    return Fail(read.api(), "%s: input w has rank %zu, expected 4", read.where(), w.rank);
  int64_t count = 1;
  for (size_t i = 0; i < 4; ++i) {
    if (w.dims[i] < 1 || w.dims[i] > kMaxSize || (count *= w.dims[i]) > kMaxWeights) {
      return Fail(read.api(), "%s: input w has a dimension of %lld, or more than %lld values",
                  read.where(), static_cast<long long>(w.dims[i]),
                  static_cast<long long>(kMaxWeights));
    }
  }
  for (const Tensor* tensor : {&w_scale, &bias}) {
    if (tensor->Count() != w.dims[0]) {
      return Fail(read.api(), "%s: input %s has %lld values, expected one for each of %lld outputs",
                  read.where(), tensor == &bias ? "bias" : "w_scale",
                  static_cast<long long>(tensor->Count()), static_cast<long long>(w.dims[0]));
    }
  }
  return nullptr;
}

}  // namespace

abi::Status* ReadNode(const abi::Api* api, const abi::KernelInfo* info, bool has_residual,
                      Node* node) {
  node->where = Locate(api, info, has_residual ? "QConvAdd" : "QConv");
  const char* where = node->where.text;
  const Reader read(api, info, where);
  Conv conv = {};
  SQUEEZE_RETURN_IF_ERROR(ReadGeometry(read, &conv));
  SQUEEZE_RETURN_IF_ERROR(ReadOrder(read, "x_perm", {0, 3, 1, 2}, &node->x_order));
  SQUEEZE_RETURN_IF_ERROR(ReadOrder(read, "y_perm", {0, 2, 3, 1}, &node->y_order));

  Tensor w, w_scale, bias;
  Quantisation x, convolved, residual = {1, 0, false}, y = residual;
  const char* conv_name = has_residual ? "conv" : "y";
  SQUEEZE_RETURN_IF_ERROR(read.Quantised(1, "x", &x));
  SQUEEZE_RETURN_IF_ERROR(read.Constant(3, "w", ElementType::kInt8, &w));
  SQUEEZE_RETURN_IF_ERROR(read.Constant(4, "w_scale", ElementType::kFloat, &w_scale));
  SQUEEZE_RETURN_IF_ERROR(read.Constant(5, "bias", ElementType::kInt32, &bias));
  SQUEEZE_RETURN_IF_ERROR(CheckWeights(read, w, w_scale, bias));
  SQUEEZE_RETURN_IF_ERROR(read.Quantised(6, conv_name, &convolved));
  if (has_residual) {
    SQUEEZE_RETURN_IF_ERROR(read.Quantised(9, "residual", &residual));
    SQUEEZE_RETURN_IF_ERROR(read.Quantised(11, "y", &y));
  }
  conv.x_zero_point = x.zero_point;
  conv.conv_zero_point = convolved.zero_point;
  conv.residual_zero_point = residual.zero_point;
  conv.y_zero_point = y.zero_point;
  const int64_t in_channels = w.dims[1] * conv.groups;
  if (w.dims[0] % conv.groups != 0 || in_channels > kMaxSize) {
    return Fail(api, "%s: attribute group is %d, expected a divisor of %lld outputs", where,
                conv.groups, static_cast<long long>(w.dims[0]));
  }
  conv.out_channels = static_cast<int32_t>(w.dims[0]);
  conv.in_channels = static_cast<int32_t>(in_channels);
  conv.kernel_h = static_cast<int32_t>(w.dims[2]);
  conv.kernel_w = static_cast<int32_t>(w.dims[3]);
  conv.has_residual = has_residual;
  conv.conv_ratio = convolved.scale / y.scale;
  conv.residual_ratio = residual.scale / y.scale;
  if (has_residual && !(conv.conv_ratio < kMaxRatio && conv.residual_ratio < kMaxRatio)) {
    return Fail(api, "%s: conv_scale and residual_scale must be below 2^20 * y_scale", where);
  }

  const Memory multipliers(conv.out_channels * sizeof(float));
  auto* multiplier = multipliers.As<float>();
  if (!multiplier) return Fail(api, "%s: out of memory", where);
  for (int32_t o = 0; o < conv.out_channels; ++o) {
    multiplier[o] = x.scale * w_scale.As<float>()[o] / convolved.scale;
    if (!isfinite(multiplier[o]) || multiplier[o] < 0) {
      return Fail(api, "%s: x_scale * w_scale[%d] / %s_scale is %g, expected a number from 0 on",
                  where, o, conv_name, static_cast<double>(multiplier[o]));
    }
  }
  // RegisterCustomOps refused an unknown name; it was changed since.
  if (!SelectIsa(&node->isa)) node->isa = Isa::kPortable;
  const Weights weights = {w.As<int8_t>(), bias.As<int32_t>(), multiplier};
  node->conv = conv;
  node->kernel = &SelectKernel(conv, node->isa, MultipliersFitSimd(conv, weights));
  const size_t bytes = node->kernel->packed_bytes(conv);
  if (!node->packed.Allocate(bytes)) {
    return Fail(api, "%s: out of memory for %zu bytes of weights", where, bytes);
  }
  memset(node->packed.As<void>(), 0, bytes);
  node->kernel->pack(conv, weights, node->packed.As<void>());
  return nullptr;
}

}  // namespace squeeze::qconv
