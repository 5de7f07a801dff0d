// Aligned memory that is released with its owner. Running out of it is an answer (null), never an
// exception.
#pragma once

#include <stdlib.h>

#include "base/kernel.h"

namespace squeeze {

class Memory {
 public:
  Memory() = default;
  explicit Memory(size_t bytes) { Allocate(bytes); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { free(data_); }

  // False when there is no memory. Zero bytes are no allocation, and no failure.
  bool Allocate(size_t bytes) {
    free(data_);
    data_ =
        bytes ? aligned_alloc(kAlignment, (bytes + kAlignment) / kAlignment * kAlignment) : nullptr;
    return !bytes || data_;
  }

  template <typename T>
  T* As() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
};

}  // namespace squeeze
