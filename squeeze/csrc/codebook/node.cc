#include "codebook/node.h"

#include <math.h>
#include <string.h>

#include "codebook/stream.h"

namespace squeeze::codebook {
namespace {

using abi::ElementType;

constexpr int64_t kMaxWeights = 1 << 30;

// Attributes of two dimensions; of one, the first is height 1 without padding.
abi::Status* ReadGeometry(const Reader& read, size_t rank, Layer* layer) {
  int32_t* const strides[] = {&layer->stride_h, &layer->stride_w};
  int32_t* const dilations[] = {&layer->dilation_h, &layer->dilation_w};
  int32_t* const pads[] = {&layer->pad_top, &layer->pad_left, &layer->pad_bottom,
                           &layer->pad_right};
  int32_t* const pads_of_one[] = {&layer->pad_left, &layer->pad_right};
  const size_t count = rank - 2, first = 2 - count;
  layer->stride_h = layer->dilation_h = 1;
  SQUEEZE_RETURN_IF_ERROR(read.Sizes("strides", 1, count, strides + first));
  SQUEEZE_RETURN_IF_ERROR(read.Sizes("dilations", 1, count, dilations + first));
  SQUEEZE_RETURN_IF_ERROR(read.Sizes("pads", 0, 2 * count, first ? pads_of_one : pads));
  int64_t group = 0;
  SQUEEZE_RETURN_IF_ERROR(read.Int("group", 1, kMaxSize, &group));
  layer->groups = static_cast<int32_t>(group);
  return nullptr;
}

// x_perm begins with channels-last images, y_perm ends with them (`to_channels_last`).
abi::Status* ReadOrder(const Reader& read, const char* name, size_t rank, bool to_channels_last,
                       Order* order) {
  int64_t perm[4];
  SQUEEZE_RETURN_IF_ERROR(read.Ints(name, perm, rank));
  constexpr int64_t kFirst[] = {0, 1, 2, 3};
  constexpr int64_t kTo[2][4] = {{0, 2, 1, 0}, {0, 2, 3, 1}};
  constexpr int64_t kFrom[2][4] = {{0, 2, 1, 0}, {0, 3, 1, 2}};
  const int64_t* last = (to_channels_last ? kTo : kFrom)[rank - 3];
  if (memcmp(perm, kFirst, rank * sizeof *perm) == 0) {
    *order = Order::kChannelsFirst;
  } else if (memcmp(perm, last, rank * sizeof *perm) == 0) {
    *order = Order::kChannelsLast;
  } else {
    return Fail(read.api(), "%s: attribute %s must be %s or %s", read.where(), name,
                rank == 3 ? "[0, 1, 2]" : "[0, 1, 2, 3]",
                rank == 3          ? "[0, 2, 1]"
                : to_channels_last ? "[0, 2, 3, 1]"
                                   : "[0, 3, 1, 2]");
  }
  return nullptr;
}

// The shape of the weights, whose product is at most kMaxWeights.
abi::Status* ReadShape(const Reader& read, int32_t* const* to, size_t rank) {
  SQUEEZE_RETURN_IF_ERROR(read.Sizes("w_shape", 1, rank, to));
  int64_t count = 1;
  for (size_t i = 0; i < rank; ++i) {
    if ((count *= *to[i]) > kMaxWeights) {
      return Fail(read.api(), "%s: attribute w_shape has more than %lld weights", read.where(),
                  static_cast<long long>(kMaxWeights));
    }
  }
  return nullptr;
}

abi::Status* ReadWeights(const Reader& read, Node* node) {
  Layer& layer = node->layer;
  const abi::Api* api = read.api();
  const char* where = read.where();
  int64_t bits = 0;
  SQUEEZE_RETURN_IF_ERROR(read.Int("bits", 2, 4, &bits));
  SQUEEZE_RETURN_IF_ERROR(read.Int("bucket", 1, kMaxWeights, &layer.bucket));
  layer.bits = static_cast<int32_t>(bits);
  Tensor indices, codebooks, bias;
  SQUEEZE_RETURN_IF_ERROR(read.Constant(1, "indices", ElementType::kUint8, &indices));
  SQUEEZE_RETURN_IF_ERROR(read.Constant(2, "codebooks", ElementType::kFloat, &codebooks));
  SQUEEZE_RETURN_IF_ERROR(read.Constant(3, "bias", ElementType::kFloat, &bias));
  const auto bytes = static_cast<int64_t>(StreamBytes(layer));
  if (indices.rank != 1 || indices.dims[0] != bytes) {
    return Fail(api,
                "%s: input indices has rank %zu and %lld bytes, expected rank 1 and %lld bytes for "
                "the %d bits of each weight of w_shape",
                where, indices.rank, static_cast<long long>(indices.Count()),
                static_cast<long long>(bytes), layer.bits);
  }
  const int64_t book = 1 << bits, books = static_cast<int64_t>(BookValues(layer)) / book;
  if (codebooks.rank != 2 || codebooks.dims[0] != books || codebooks.dims[1] != book) {
    return Fail(api,
                "%s: input codebooks has rank %zu and %lld values, expected [%lld, %lld]: a book "
                "for each %lld weights, 2^bits values in each",
                where, codebooks.rank, static_cast<long long>(codebooks.Count()),
                static_cast<long long>(books), static_cast<long long>(book),
                static_cast<long long>(layer.bucket));
  }
  if (bias.rank != 1 || bias.dims[0] != layer.out_channels) {
    return Fail(api, "%s: input bias has %lld values, expected one for each of %d outputs, rank 1",
                where, static_cast<long long>(bias.Count()), layer.out_channels);
  }
  // Kernels multiply weights with the zeros of the padding.
  for (int64_t i = 0; i < codebooks.Count(); ++i) {
    const float value = codebooks.As<float>()[i];
    if (!isfinite(value)) {
      return Fail(api, "%s: input codebooks has the value %g, expected finite values", where,
                  static_cast<double>(value));
    }
  }
  const Weights weights = {indices.As<uint8_t>(), codebooks.As<float>(), bias.As<float>()};
  layer.table_bits = TableBits(layer, weights);
  Isa isa;
  // RegisterCustomOps refused an unknown name; it was changed since.
  if (!SelectIsa(&isa)) isa = Isa::kPortable;
  node->kernel = &SelectKernel(layer, isa);
  const size_t packed_bytes = node->kernel->packed_bytes(layer);
  if (!node->packed.Allocate(packed_bytes)) {
    return Fail(api, "%s: out of memory for %zu bytes of weights", where, packed_bytes);
  }
  memset(node->packed.As<void>(), 0, packed_bytes);
  node->kernel->pack(layer, weights, node->packed.As<void>());
  return nullptr;
}

}  // namespace

abi::Status* ReadConv(const abi::Api* api, const abi::KernelInfo* info, Node* node) {
  node->where = Locate(api, info, "CodebookConv");
  const char* where = node->where.text;
  const Reader read(api, info, where);
  Layer& layer = node->layer;
  layer = {};
  size_t rank = 0;
  if (abi::Status* status = abi::kGetAttributeInts(api, info, "w_shape", nullptr, &rank)) {
    abi::kReleaseStatus(api, status);
    rank = 4;  // the reader says what is wrong
  }
  if (rank != 3 && rank != 4) {
    return Fail(api, "%s: attribute w_shape has %zu values, expected 4, or 3 for one dimension",
                where, rank);
  }
  node->rank = rank;
  layer.kernel_h = 1;
  int32_t per_group = 0;
  int32_t* const shape[] = {&layer.out_channels, &per_group, &layer.kernel_h, &layer.kernel_w};
  int32_t* const shape_of_one[] = {&layer.out_channels, &per_group, &layer.kernel_w};
  SQUEEZE_RETURN_IF_ERROR(ReadShape(read, rank == 4 ? shape : shape_of_one, rank));
  SQUEEZE_RETURN_IF_ERROR(ReadGeometry(read, rank, &layer));
  SQUEEZE_RETURN_IF_ERROR(ReadOrder(read, "x_perm", rank, false, &node->x_order));
  SQUEEZE_RETURN_IF_ERROR(ReadOrder(read, "y_perm", rank, true, &node->y_order));
  const int64_t in_channels = int64_t{per_group} * layer.groups;
  if (layer.out_channels % layer.groups != 0 || in_channels > kMaxSize) {
    return Fail(api, "%s: attribute group is %d, expected a divisor of %d outputs", where,
                layer.groups, layer.out_channels);
  }
  layer.in_channels = static_cast<int32_t>(in_channels);
  return ReadWeights(read, node);
}

abi::Status* ReadGemm(const abi::Api* api, const abi::KernelInfo* info, Node* node) {
  node->where = Locate(api, info, "CodebookGemm");
  const Reader read(api, info, node->where.text);
  Layer& layer = node->layer;
  layer = {};
  layer.groups = layer.kernel_h = layer.kernel_w = 1;
  layer.stride_h = layer.stride_w = layer.dilation_h = layer.dilation_w = 1;
  int32_t* const shape[] = {&layer.out_channels, &layer.in_channels};
  SQUEEZE_RETURN_IF_ERROR(ReadShape(read, shape, 2));
  node->x_order = node->y_order = Order::kChannelsLast;
  return ReadWeights(read, node);
}

}  // namespace squeeze::codebook
