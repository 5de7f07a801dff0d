// What the tests of kernels share: memory that notices writes beside it, and repeatable random
// numbers.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <random>

namespace squeeze::native {

// Fewer cases, where an emulator or a sanitizer makes them slow.
inline bool quick = false;

inline constexpr uint8_t kCanary = 0xab;

// Memory that ends at an inaccessible page (as far as `alignment` allows), with canaries before and
// behind.
class Guarded {
 public:
  explicit Guarded(size_t bytes, size_t alignment = 1) : bytes_(bytes) {
    const size_t page = sysconf(_SC_PAGESIZE);
    const size_t room = (bytes + 2 * 64 + page - 1) / page * page;
    mapped_ = room + page;
    base_ = static_cast<uint8_t*>(
        mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_ + room, page, PROT_NONE);
    memset(base_, kCanary, room);
    end_ = base_ + room;
    data_ = end_ - (bytes + alignment - 1) / alignment * alignment;
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { munmap(base_, mapped_); }

  uint8_t* data() const { return data_; }
  bool Intact() const {
    for (const uint8_t* p = data_ - 64; p < data_; ++p) {
      if (*p != kCanary) return false;
    }
    for (const uint8_t* p = data_ + bytes_; p < end_; ++p) {
      if (*p != kCanary) return false;
    }
    return true;
  }

 private:
  size_t bytes_, mapped_;
  uint8_t *base_, *data_, *end_;
};

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  int operator()(int low, int high) { return low + static_cast<int>(engine_() % (high - low + 1)); }
  template <typename T, size_t N>
  T Pick(const T (&values)[N]) {
    return values[(*this)(0, N - 1)];
  }

 private:
  std::mt19937 engine_;
};

}  // namespace squeeze::native
