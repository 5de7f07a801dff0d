// What squeeze/train/quantised/fused.py calls: a pass over all numbers of a tensor, whose layout
// does not matter, by the threads of torch.
#include <atomic>

#include "lsq/lsq.h"

#define SQUEEZE_EXPORTED extern "C" __attribute__((visibility("default")))

namespace squeeze::lsq {
namespace {

// GOMP_parallel of the OpenMP library in the process: our own has no threads, and needs libc alone.
// Null: there is none, and one thread does it all.
using Parallel = void (*)(void (*work)(void*), void* given, unsigned threads, unsigned flags);

struct Threads {
  Parallel parallel;
  unsigned count;
};

constexpr size_t kTogether = 16 * kBlock;  // what a thread takes at once

template <typename Run>
struct Shared {
  const Run& run;
  size_t count;
  std::atomic<size_t> next;
};

template <typename Run>
void TakeParts(void* given) {
  auto& shared = *static_cast<Shared<Run>*>(given);
  for (;;) {
    const size_t first = shared.next.fetch_add(kTogether, std::memory_order_relaxed);
    if (first >= shared.count) return;
    const size_t left = shared.count - first;
    shared.run(first, left < kTogether ? left : kTogether);
  }
}

// run(first, count) of all numbers; every part begins with a block.
template <typename Run>
void Share(const Threads& threads, size_t count, const Run& run) {
  if (!threads.parallel || threads.count < 2 || count <= kTogether) return run(0, count);
  Shared<Run> shared = {run, count, 0};
  const size_t parts = (count - 1) / kTogether + 1;
  const unsigned taking = parts < threads.count ? static_cast<unsigned>(parts) : threads.count;
  threads.parallel(TakeParts<Run>, &shared, taking, 0);
}

const Passes& PassesOf(bool is_half) {
  const Kernel& kernel = SelectKernel(KernelIsa());
  return is_half ? kernel.bfloat16 : kernel.float32;
}

size_t BytesOf(bool is_half) { return is_half ? 2 : 4; }

}  // namespace
}  // namespace squeeze::lsq

// is_half: x and y are bfloat16, else float32.
SQUEEZE_EXPORTED void SqueezeLsqForward(bool is_half, float step, float low, float high,
                                        const char* x, size_t count, char* y,
                                        squeeze::lsq::Parallel parallel, unsigned threads) {
  using namespace squeeze::lsq;
  const Passes& passes = PassesOf(is_half);
  Share({parallel, threads}, count, [&](size_t first, size_t some) {
    const size_t at = first * BytesOf(is_half);
    passes.forward({step, low, high}, x + at, some, y + at);
  });
}

// sums: room for those of each kBlock numbers, the last block may be shorter.
SQUEEZE_EXPORTED void SqueezeLsqBackward(bool is_half, float step, float low, float high,
                                         const char* x, const char* g, size_t count, char* dx,
                                         squeeze::lsq::Sums* sums, squeeze::lsq::Parallel parallel,
                                         unsigned threads) {
  using namespace squeeze::lsq;
  const Passes& passes = PassesOf(is_half);
  Share({parallel, threads}, count, [&](size_t first, size_t some) {
    const size_t at = first * BytesOf(is_half);
    passes.backward({step, low, high}, x + at, g + at, some, dx + at, sums + first / kBlock);
  });
}
