#include "qcodebook/weights.h"

namespace squeeze::qcodebook {
namespace {

using abi::ElementType;

// What the attributes say.
struct Coding {
  int64_t count;  // of weights
  int64_t bits;   // of an index
  int64_t bucket;

  int64_t StreamBytes() const { return (count * bits + 7) / 8; }
  int64_t Books() const { return (count + bucket - 1) / bucket; }
};

abi::Status* CheckInputs(const Reader& read, const Coding& coding, const Tensor& indices,
                         const Tensor& codebooks) {
  if (indices.rank != 1 || indices.dims[0] != coding.StreamBytes()) {
    return Fail(read.api(),
                "%s: input indices is %s, expected [%lld]: %lld bits for each of the %lld weights "
                "of w_shape",
                read.where(), ShapeOf(indices).text, static_cast<long long>(coding.StreamBytes()),
                static_cast<long long>(coding.bits), static_cast<long long>(coding.count));
  }
  const int64_t levels = int64_t{1} << coding.bits;
  if (codebooks.rank != 2 || codebooks.dims[0] != coding.Books() || codebooks.dims[1] != levels) {
    return Fail(read.api(),
                "%s: input codebooks is %s, expected [%lld, %lld]: a book for every %lld weights, "
                "2^bits levels in each",
                read.where(), ShapeOf(codebooks).text, static_cast<long long>(coding.Books()),
                static_cast<long long>(levels), static_cast<long long>(coding.bucket));
  }
  return nullptr;
}

void Decode(const Coding& coding, const uint8_t* stream, const int8_t* codebooks, int8_t* to) {
  const int64_t bytes = coding.StreamBytes();
  const uint32_t mask = (1u << coding.bits) - 1;
  for (int64_t j = 0; j < coding.count; ++j) {
    const int64_t bit = j * coding.bits, byte = bit / 8;
    uint32_t window = stream[byte];
    if (byte + 1 < bytes) window |= uint32_t{stream[byte + 1]} << 8;
    to[j] = codebooks[(j / coding.bucket << coding.bits) + (window >> bit % 8 & mask)];
  }
}

}  // namespace

abi::Status* ReadWeights(const Reader& read, size_t least_rank, size_t most_rank, Memory* memory,
                         Tensor* w) {
  SQUEEZE_RETURN_IF_ERROR(read.WeightShape(least_rank, most_rank, w));
  Coding coding;
  coding.count = w->Count();
  SQUEEZE_RETURN_IF_ERROR(read.Int("bits", 2, 4, &coding.bits));
  SQUEEZE_RETURN_IF_ERROR(read.Int("bucket", 1, kMaxWeights, &coding.bucket));
  Tensor indices, codebooks;
  SQUEEZE_RETURN_IF_ERROR(read.Constant(kIndices, "indices", ElementType::kUint8, &indices));
  SQUEEZE_RETURN_IF_ERROR(read.Constant(kCodebooks, "codebooks", ElementType::kInt8, &codebooks));
  SQUEEZE_RETURN_IF_ERROR(CheckInputs(read, coding, indices, codebooks));
  if (!memory->Allocate(coding.count)) {
    return Fail(read.api(), "%s: out of memory for %lld weights", read.where(),
                static_cast<long long>(coding.count));
  }
  Decode(coding, indices.As<uint8_t>(), codebooks.As<int8_t>(), memory->As<int8_t>());
  w->data = memory->As<void>();
  return nullptr;
}

}  // namespace squeeze::qcodebook
