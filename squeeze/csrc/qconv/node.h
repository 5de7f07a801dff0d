// What a QConv or QConvAdd node says: read, checked, with its kernel chosen and its weights packed.
#pragma once

#include "base/memory.h"
#include "base/ort_glue.h"
#include "qconv/qconv.h"

namespace squeeze::qconv {

enum class Order { kChannelsFirst, kChannelsLast };

// A size that no real layer has; below it no product of ours overflows 64 bits.
inline constexpr int64_t kMaxSize = 1 << 20;

struct Node {
  Where where;
  Conv conv;
  Isa isa;  // what this CPU and SQUEEZE_ISA allow
  Order x_order, y_order;
  const Kernel* kernel;
  Memory packed;
};

abi::Status* ReadNode(const abi::Api* api, const abi::KernelInfo* info, bool has_residual,
                      Node* node);

}  // namespace squeeze::qconv
