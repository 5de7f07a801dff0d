// What a node says before it runs: its constant inputs and its attributes, each checked. Every
// message begins with the node's name, and says what was found and what is allowed.
#pragma once

#include "base/ort_glue.h"

namespace squeeze {

// A size that no real layer has; below it no product of ours overflows 64 bits.
inline constexpr int64_t kMaxSize = 1 << 20;
// The weights of one node; as indices, no arithmetic with them overflows 64 bits.
inline constexpr int64_t kMaxWeights = 1 << 30;

// How an 8-bit tensor stands for real numbers: (value - zero_point) * scale. Kernels compute in u8
// alone: an s8 value is a u8 value minus 128, and so is its zero point, which is kept here as u8.
struct Quantisation {
  float scale;         // positive and finite
  uint8_t zero_point;  // of the u8 twin
  bool is_signed;      // the tensor is s8
};

class Reader {
 public:
  // `where` has to outlive the reader.
  Reader(const abi::Api* api, const abi::KernelInfo* info, const char* where)
      : api_(api), info_(info), where_(where) {}

  const abi::Api* api() const { return api_; }
  const char* where() const { return where_; }

  // Input `index`, called `name`, which has to be a constant of `type`.
  abi::Status* Constant(size_t index, const char* name, abi::ElementType type,
                        Tensor* tensor) const;
  // The same, of uint8 or int8.
  abi::Status* Bytes(size_t index, const char* name, Tensor* tensor) const;
  abi::Status* Scale(size_t index, const char* name, float* scale) const;
  // Inputs `index` and `index` + 1, called `tensor`_scale and `tensor`_zero_point.
  abi::Status* Quantised(size_t index, const char* tensor, Quantisation* quantisation) const;

  // How many integers attribute `name` has; 0 when it is missing, and for another kind.
  size_t CountInts(const char* name) const;
  // Attribute `name` with exactly `count` integers.
  abi::Status* Ints(const char* name, int64_t* values, size_t count) const;
  // Attribute `name` with `count` integers, each from `low` to kMaxSize, into *to[0], *to[1], ...
  abi::Status* Sizes(const char* name, int64_t low, size_t count, int32_t* const* to) const;
  // Attribute `name`, one integer from `low` to `high`.
  abi::Status* Int(const char* name, int64_t low, int64_t high, int64_t* value) const;

  // Attribute `name`, one positive and finite number.
  abi::Status* Positive(const char* name, float* value) const;
  // Input `index`, called `name`: `count` float32 constants, copied to `to`.
  abi::Status* Floats(size_t index, const char* name, size_t count, float* to) const;

  // The shape of weights that come as indices: attribute w_shape, of `least_rank` to `most_rank`
  // sizes, checked as CheckWeights does it.
  abi::Status* WeightShape(size_t least_rank, size_t most_rank, Tensor* w) const;
  // Whether the sizes of `w`, `kind` (input or attribute) `name`, are from 1 to kMaxSize, and at
  // most kMaxWeights together.
  abi::Status* CheckWeights(const char* kind, const char* name, const Tensor& w) const;

 private:
  abi::Status* AnyConstant(size_t index, const char* name, Tensor* tensor) const;

  const abi::Api* api_;
  const abi::KernelInfo* info_;
  const char* where_;
};

}  // namespace squeeze
