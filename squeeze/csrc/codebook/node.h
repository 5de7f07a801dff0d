// What a CodebookConv or CodebookGemm node says: read, checked, with its kernel chosen and its
// weights packed.
#pragma once

#include "base/inputs.h"
#include "base/memory.h"
#include "codebook/codebook.h"
#include "images/attributes.h"

namespace squeeze::codebook {

struct Node {
  Where where;
  Layer layer;
  size_t rank;  // of images: 4, or 3 for those of one dimension, which are images of height 1
  images::Order x_order, y_order;
  const Kernel* kernel;
  Memory packed;
};

abi::Status* ReadConv(const abi::Api* api, const abi::KernelInfo* info, Node* node);
abi::Status* ReadGemm(const abi::Api* api, const abi::KernelInfo* info, Node* node);

}  // namespace squeeze::codebook
