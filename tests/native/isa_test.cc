// DetectIsa from several threads at once, before anything else asked: each gets the cluster of this
// CPU. The first call is the interesting one, so a process tests it once.
#include "base/isa.h"

#include <stdio.h>

#include <atomic>
#include <thread>

bool TestDetectionFromThreads();

bool TestDetectionFromThreads() {
  constexpr int kThreads = 4;
  std::atomic<int> waiting = 0;
  std::atomic<bool> go = false;
  squeeze::Isa found[kThreads];
  std::thread threads[kThreads];
  for (int i = 0; i < kThreads; ++i) {
    threads[i] = std::thread([&, i] {
      ++waiting;
      while (!go) continue;
      found[i] = squeeze::DetectIsa();
    });
  }
  while (waiting < kThreads) continue;
  go = true;
  for (std::thread& thread : threads) thread.join();
  const squeeze::Isa later = squeeze::DetectIsa();
  bool ok = true;
  for (const squeeze::Isa isa : found) {
    if (isa != later) {
      printf("  isa: a thread got %s, this CPU has %s\n", squeeze::kIsaNames[static_cast<int>(isa)],
             squeeze::kIsaNames[static_cast<int>(later)]);
    }
    ok = ok && isa == later;
  }
  printf("%s isa: %d threads at once\n", ok ? "ok" : "FAILED", kThreads);
  return ok;
}
