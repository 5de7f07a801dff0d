#include "codebook/node.h"

#include <math.h>
#include <string.h>

#include "codebook/stream.h"

namespace squeeze::codebook {
namespace {

using abi::ElementType;

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
  node->kernel = &SelectKernel(layer, KernelIsa());
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
  const Reader read(api, info, node->where.text);
  Tensor w;
  SQUEEZE_RETURN_IF_ERROR(read.WeightShape(3, 4, &w));
  node->rank = w.rank;
  node->layer = {};
  SQUEEZE_RETURN_IF_ERROR(images::ReadGeometry(read, w, &node->layer));
  SQUEEZE_RETURN_IF_ERROR(images::ReadOrders(read, w.rank, &node->x_order, &node->y_order));
  return ReadWeights(read, node);
}

abi::Status* ReadGemm(const abi::Api* api, const abi::KernelInfo* info, Node* node) {
  node->where = Locate(api, info, "CodebookGemm");
  const Reader read(api, info, node->where.text);
  Tensor w;
  SQUEEZE_RETURN_IF_ERROR(read.WeightShape(2, 2, &w));
  node->layer = {};
  static_cast<images::Geometry&>(node->layer) =
      images::PixelByPixel(static_cast<int32_t>(w.dims[1]), static_cast<int32_t>(w.dims[0]));
  node->x_order = node->y_order = images::Order::kChannelsLast;
  return ReadWeights(read, node);
}

}  // namespace squeeze::codebook
