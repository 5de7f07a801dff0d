#include "qconv/node.h"

#include <stdio.h>
#include <string.h>

namespace squeeze::qconv {
namespace {

using abi::ElementType;

constexpr int64_t kMaxWeights = 1 << 30;

// `spatial`: 2, or 1 for a height that is not there.
abi::Status* ReadGeometry(const Reader& read, size_t spatial, Conv* conv) {
  conv->stride_h = conv->dilation_h = 1;
  int32_t* const strides[] = {&conv->stride_h, &conv->stride_w};
  int32_t* const dilations[] = {&conv->dilation_h, &conv->dilation_w};
  int32_t* const pads[] = {&conv->pad_top, &conv->pad_left, &conv->pad_bottom, &conv->pad_right};
  int32_t* const pads_1d[] = {&conv->pad_left, &conv->pad_right};
  const size_t skip = 2 - spatial;
  SQUEEZE_RETURN_IF_ERROR(read.Sizes("strides", 1, spatial, strides + skip));
  SQUEEZE_RETURN_IF_ERROR(read.Sizes("dilations", 1, spatial, dilations + skip));
  SQUEEZE_RETURN_IF_ERROR(read.Sizes("pads", 0, 2 * spatial, spatial == 2 ? pads : pads_1d));
  int64_t group = 0;
  SQUEEZE_RETURN_IF_ERROR(read.Int("group", 1, kMaxSize, &group));
  conv->groups = static_cast<int32_t>(group);
  return nullptr;
}

// `last`: the permutation that stands for channels-last, of `rank` axes.
abi::Status* ReadOrder(const Reader& read, const char* name, size_t rank, const int64_t (&last)[4],
                       Order* order) {
  constexpr int64_t kChannelsFirst[4] = {0, 1, 2, 3};
  int64_t perm[4];
  SQUEEZE_RETURN_IF_ERROR(read.Ints(name, perm, rank));
  if (memcmp(perm, kChannelsFirst, rank * sizeof *perm) == 0) {
    *order = Order::kChannelsFirst;
  } else if (memcmp(perm, last, rank * sizeof *perm) == 0) {
    *order = Order::kChannelsLast;
  } else {
    Tensor first = {ElementType::kInt64, rank, {0, 1, 2, 3}, nullptr}, other = first;
    memcpy(other.dims, last, sizeof last);
    return Fail(read.api(), "%s: attribute %s must be %s or %s", read.where(), name,
                ShapeOf(first).text, ShapeOf(other).text);
  }
  return nullptr;
}

abi::Status* CheckWeights(const Reader& read, const Signature& signature, const Tensor& w) {
  if (w.rank != 3 && w.rank != 4) {
    return Fail(read.api(), "%s: input %s has rank %zu, expected 4, or 3 for one dimension",
                read.where(), signature.weights, w.rank);
  }
  int64_t count = 1;
  for (size_t i = 0; i < w.rank; ++i) {
    if (w.dims[i] < 1 || w.dims[i] > kMaxSize || (count *= w.dims[i]) > kMaxWeights) {
      return Fail(read.api(), "%s: input %s has a dimension of %lld, or more than %lld values",
                  read.where(), signature.weights, static_cast<long long>(w.dims[i]),
                  static_cast<long long>(kMaxWeights));
    }
  }
  return nullptr;
}

}  // namespace

abi::Status* ReadNodeWithWeights(const Reader& read, const Signature& signature, const Tensor& w,
                                 Select select, Node* node) {
  SQUEEZE_RETURN_IF_ERROR(CheckWeights(read, signature, w));
  const size_t spatial = w.rank - 2;
  Conv conv = {};
  SQUEEZE_RETURN_IF_ERROR(ReadGeometry(read, spatial, &conv));
  constexpr int64_t kFromLast[][4] = {{0, 2, 1}, {0, 3, 1, 2}};
  constexpr int64_t kToLast[][4] = {{0, 2, 1}, {0, 2, 3, 1}};
  SQUEEZE_RETURN_IF_ERROR(
      ReadOrder(read, "x_perm", w.rank, kFromLast[spatial - 1], &node->x_order));
  SQUEEZE_RETURN_IF_ERROR(ReadOrder(read, "y_perm", w.rank, kToLast[spatial - 1], &node->y_order));
  const int64_t in_channels = w.dims[1] * conv.groups;
  if (w.dims[0] % conv.groups != 0 || in_channels > kMaxSize) {
    return Fail(read.api(), "%s: attribute group is %d, expected a divisor of %lld outputs",
                read.where(), conv.groups, static_cast<long long>(w.dims[0]));
  }
  conv.out_channels = static_cast<int32_t>(w.dims[0]);
  conv.in_channels = static_cast<int32_t>(in_channels);
  conv.kernel_h = spatial == 2 ? static_cast<int32_t>(w.dims[2]) : 1;
  conv.kernel_w = static_cast<int32_t>(w.dims[w.rank - 1]);

  Scales scales;
  SQUEEZE_RETURN_IF_ERROR(ReadScales(read, signature, conv.out_channels, &scales));
  // RegisterCustomOps refused an unknown name; it was changed since.
  if (!SelectIsa(&node->isa)) node->isa = Isa::kPortable;
  node->rank = w.rank;
  node->residual = signature.tail == Tail::kAdd ? signature.ResidualIndex() : 0;
  node->x = scales.x;
  node->y = scales.y;
  node->finish = FinishFor(scales, node->isa);
  return PackLayer(read, signature, scales, conv, 0, w.As<int8_t>(), select, node->isa,
                   &node->layer);
}

abi::Status* ReadNode(const abi::Api* api, const abi::KernelInfo* info, const Signature& signature,
                      Node* node) {
  node->where = Locate(api, info, signature.op);
  const Reader read(api, info, node->where.text);
  Tensor w;
  SQUEEZE_RETURN_IF_ERROR(read.Constant(3, signature.weights, ElementType::kInt8, &w));
  return ReadNodeWithWeights(read, signature, w, SelectPlain, node);
}

}  // namespace squeeze::qconv
