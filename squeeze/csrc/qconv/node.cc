#include "qconv/node.h"

#include <math.h>
#include <string.h>

#include <initializer_list>

namespace squeeze::qconv {
namespace {

using abi::ElementType;

constexpr int64_t kMaxWeights = 1 << 30;
constexpr float kMaxRatio = 1 << 20;

// Reads from one node; every message begins with its name.
class Reader {
 public:
  Reader(const abi::Api* api, const abi::KernelInfo* info, const char* where)
      : api_(api), info_(info), where_(where) {}

  abi::Status* Constant(size_t index, const char* name, ElementType type, Tensor* tensor) const {
    return ReadConstant(api_, info_, where_, index, name, type, tensor);
  }
  abi::Status* Scale(size_t index, const char* name, float* scale) const;
  abi::Status* ZeroPoint(size_t index, const char* name, uint8_t* zero_point) const;
  abi::Status* Geometry(Conv* conv) const;
  abi::Status* OrderOf(const char* name, const int64_t (&channels_last)[4], Order* order) const;
  abi::Status* CheckWeights(const Tensor& w, const Tensor& w_scale, const Tensor& bias) const;

  // Up to `count` integers of an attribute, each from `low` to kMaxSize.
  abi::Status* Sizes(const char* name, int64_t low, size_t count, int32_t* const* to) const;

 private:
  const abi::Api* api_;
  const abi::KernelInfo* info_;
  const char* where_;
};

abi::Status* Reader::Scale(size_t index, const char* name, float* scale) const {
  Tensor tensor;
  SQUEEZE_RETURN_IF_ERROR(Constant(index, name, ElementType::kFloat, &tensor));
  if (tensor.Count() != 1) {
    return Fail(api_, "%s: input %s has %lld values, expected 1", where_, name,
                static_cast<long long>(tensor.Count()));
  }
  *scale = *tensor.As<float>();
  if (!isfinite(*scale) || *scale <= 0) {
    return Fail(api_, "%s: input %s must be positive and finite, got %g", where_, name,
                static_cast<double>(*scale));
  }
  return nullptr;
}

abi::Status* Reader::ZeroPoint(size_t index, const char* name, uint8_t* zero_point) const {
  Tensor tensor;
  SQUEEZE_RETURN_IF_ERROR(Constant(index, name, ElementType::kUint8, &tensor));
  if (tensor.Count() != 1) {
    return Fail(api_, "%s: input %s has %lld values, expected 1", where_, name,
                static_cast<long long>(tensor.Count()));
  }
  *zero_point = *tensor.As<uint8_t>();
  return nullptr;
}

abi::Status* Reader::Sizes(const char* name, int64_t low, size_t count, int32_t* const* to) const {
  int64_t values[4];
  SQUEEZE_RETURN_IF_ERROR(ReadInts(api_, info_, where_, name, values, count));
  for (size_t i = 0; i < count; ++i) {
    if (values[i] < low || values[i] > kMaxSize) {
      return Fail(api_, "%s: attribute %s has the value %lld, expected %lld to %lld", where_, name,
                  static_cast<long long>(values[i]), static_cast<long long>(low),
                  static_cast<long long>(kMaxSize));
    }
    *to[i] = static_cast<int32_t>(values[i]);
  }
  return nullptr;
}

abi::Status* Reader::Geometry(Conv* conv) const {
  int32_t* const strides[] = {&conv->stride_h, &conv->stride_w};
  int32_t* const dilations[] = {&conv->dilation_h, &conv->dilation_w};
  int32_t* const pads[] = {&conv->pad_top, &conv->pad_left, &conv->pad_bottom, &conv->pad_right};
  SQUEEZE_RETURN_IF_ERROR(Sizes("strides", 1, 2, strides));
  SQUEEZE_RETURN_IF_ERROR(Sizes("dilations", 1, 2, dilations));
  SQUEEZE_RETURN_IF_ERROR(Sizes("pads", 0, 4, pads));
  int64_t group = 0;
  SQUEEZE_RETURN_IF_ERROR(ReadInt(api_, info_, where_, "group", &group));
  if (group < 1 || group > kMaxSize) {
    return Fail(api_, "%s: attribute group is %lld, expected 1 to %lld", where_,
                static_cast<long long>(group), static_cast<long long>(kMaxSize));
  }
  conv->groups = static_cast<int32_t>(group);
  return nullptr;
}

abi::Status* Reader::OrderOf(const char* name, const int64_t (&channels_last)[4],
                             Order* order) const {
  constexpr int64_t kChannelsFirst[4] = {0, 1, 2, 3};
  int64_t perm[4];
  SQUEEZE_RETURN_IF_ERROR(ReadInts(api_, info_, where_, name, perm, 4));
  if (memcmp(perm, kChannelsFirst, sizeof perm) == 0) {
    *order = Order::kChannelsFirst;
  } else if (memcmp(perm, channels_last, sizeof perm) == 0) {
    *order = Order::kChannelsLast;
  } else {
    return Fail(api_, "%s: attribute %s must be [0, 1, 2, 3] or [%lld, %lld, %lld, %lld]", where_,
                name, static_cast<long long>(channels_last[0]),
                static_cast<long long>(channels_last[1]), static_cast<long long>(channels_last[2]),
                static_cast<long long>(channels_last[3]));
  }
  return nullptr;
}

abi::Status* Reader::CheckWeights(const Tensor& w, const Tensor& w_scale,
                                  const Tensor& bias) const {
  if (w.rank != 4) return Fail(api_, "%s: input w has rank %zu, expected 4", where_, w.rank);
  int64_t count = 1;
  for (size_t i = 0; i < 4; ++i) {
    if (w.dims[i] < 1 || w.dims[i] > kMaxSize || (count *= w.dims[i]) > kMaxWeights) {
      return Fail(api_, "%s: input w has a dimension of %lld, or more than %lld values", where_,
                  static_cast<long long>(w.dims[i]), static_cast<long long>(kMaxWeights));
    }
  }
  for (const Tensor* tensor : {&w_scale, &bias}) {
    if (tensor->Count() != w.dims[0]) {
      return Fail(api_, "%s: input %s has %lld values, expected one for each of %lld outputs",
                  where_, tensor == &bias ? "bias" : "w_scale",
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
  SQUEEZE_RETURN_IF_ERROR(read.Geometry(&conv));
  SQUEEZE_RETURN_IF_ERROR(read.OrderOf("x_perm", {0, 3, 1, 2}, &node->x_order));
  SQUEEZE_RETURN_IF_ERROR(read.OrderOf("y_perm", {0, 2, 3, 1}, &node->y_order));

  Tensor w, w_scale, bias;
  float x_scale, conv_scale, residual_scale = 1, y_scale = 1;
  const char* conv_scale_name = has_residual ? "conv_scale" : "y_scale";
  const char* conv_zero_point_name = has_residual ? "conv_zero_point" : "y_zero_point";
  SQUEEZE_RETURN_IF_ERROR(read.Scale(1, "x_scale", &x_scale));
  SQUEEZE_RETURN_IF_ERROR(read.ZeroPoint(2, "x_zero_point", &conv.x_zero_point));
  SQUEEZE_RETURN_IF_ERROR(read.Constant(3, "w", ElementType::kInt8, &w));
  SQUEEZE_RETURN_IF_ERROR(read.Constant(4, "w_scale", ElementType::kFloat, &w_scale));
  SQUEEZE_RETURN_IF_ERROR(read.Constant(5, "bias", ElementType::kInt32, &bias));
  SQUEEZE_RETURN_IF_ERROR(read.CheckWeights(w, w_scale, bias));
  SQUEEZE_RETURN_IF_ERROR(read.Scale(6, conv_scale_name, &conv_scale));
  SQUEEZE_RETURN_IF_ERROR(read.ZeroPoint(7, conv_zero_point_name, &conv.conv_zero_point));
  if (has_residual) {
    SQUEEZE_RETURN_IF_ERROR(read.Scale(9, "residual_scale", &residual_scale));
    SQUEEZE_RETURN_IF_ERROR(read.ZeroPoint(10, "residual_zero_point", &conv.residual_zero_point));
    SQUEEZE_RETURN_IF_ERROR(read.Scale(11, "y_scale", &y_scale));
    SQUEEZE_RETURN_IF_ERROR(read.ZeroPoint(12, "y_zero_point", &conv.y_zero_point));
  }
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
  conv.conv_ratio = conv_scale / y_scale;
  conv.residual_ratio = residual_scale / y_scale;
  if (has_residual && !(conv.conv_ratio < kMaxRatio && conv.residual_ratio < kMaxRatio)) {
    return Fail(api, "%s: conv_scale and residual_scale must be below 2^20 * y_scale", where);
  }

  const Memory multipliers(conv.out_channels * sizeof(float));
  auto* multiplier = multipliers.As<float>();
  if (!multiplier) return Fail(api, "%s: out of memory", where);
  for (int32_t o = 0; o < conv.out_channels; ++o) {
    multiplier[o] = x_scale * w_scale.As<float>()[o] / conv_scale;
    if (!isfinite(multiplier[o]) || multiplier[o] < 0) {
      return Fail(api, "%s: x_scale * w_scale[%d] / %s is %g, expected a number from 0 on", where,
                  o, conv_scale_name, static_cast<double>(multiplier[o]));
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
