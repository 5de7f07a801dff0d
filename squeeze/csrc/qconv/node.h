// What a QConv or QConvAdd node says: read, checked, with its kernel chosen and its weights packed.
#pragma once

#include "base/inputs.h"
#include "base/memory.h"
#include "qconv/qconv.h"

namespace squeeze::qconv {

enum class Order { kChannelsFirst, kChannelsLast };

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
