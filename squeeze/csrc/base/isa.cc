#include "base/isa.h"

#include <stdlib.h>
#include <string.h>

#include <atomic>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace squeeze {
namespace {

#if defined(__x86_64__)

bool Bit(uint32_t word, int bit) { return (word >> bit) & 1; }

uint64_t EnabledState() {
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low | uint64_t{high} << 32;
}

// Linux gives the 8 KB of tile state to a process only on request, and may refuse.
bool RequestTiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

Isa Detect() {
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return Isa::kPortable;
  const bool avx = Bit(c, 12) && Bit(c, 27) && Bit(c, 28);  // fma, xgetbv allowed, avx
  if (!avx || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return Isa::kPortable;
  constexpr uint64_t kAvxState = 0x6, kAvx512State = 0xe6, kTileState = 0x60000;
  const uint64_t state = EnabledState();
  if ((state & kAvxState) != kAvxState || !Bit(b, 5)) return Isa::kPortable;  // avx2
  const bool avx512 = Bit(b, 16) && Bit(b, 17) && Bit(b, 30) && Bit(b, 31);   // f, dq, bw, vl
  const bool vbmi_vnni = Bit(c, 1) && Bit(c, 11);
  if ((state & kAvx512State) != kAvx512State || !avx512 || !vbmi_vnni) return Isa::kX86Avx2;
  const bool amx = Bit(d, 24) && Bit(d, 25);  // tile, int8
  if ((state & kTileState) != kTileState || !amx || !RequestTiles()) return Isa::kX86Avx512Vnni;
  return Isa::kX86Amx;
}

#elif defined(__aarch64__) && defined(__APPLE__)

bool Has(const char* feature) {
  int value = 0;
  size_t bytes = sizeof value;
  return sysctlbyname(feature, &value, &bytes, nullptr, 0) == 0 && value;
}

Isa Detect() {
  if (!Has("hw.optional.arm.FEAT_DotProd")) return Isa::kArm64Neon;
  return Has("hw.optional.arm.FEAT_I8MM") ? Isa::kArm64I8mm : Isa::kArm64Dotprod;
}

#elif defined(__aarch64__)

Isa Detect() {
  constexpr unsigned long kDotprod = 1ul << 20, kI8mm = 1ul << 13;  // of AT_HWCAP, AT_HWCAP2
  if (!(getauxval(AT_HWCAP) & kDotprod)) return Isa::kArm64Neon;
  return getauxval(AT_HWCAP2) & kI8mm ? Isa::kArm64I8mm : Isa::kArm64Dotprod;
}

#else

Isa Detect() { return Isa::kPortable; }

#endif

bool OfThisArchitecture(const char* name) {
#if defined(__x86_64__)
  return strncmp(name, "arm64_", 6) != 0;
#elif defined(__aarch64__)
  return strncmp(name, "x86_", 4) != 0;
#else
  return strcmp(name, kIsaNames[0]) == 0;
#endif
}

}  // namespace

Isa DetectIsa() {
  // Threads that come first together all detect, and all find the same. The value is there before
  // any code runs, so nothing has to be guarded.
  constexpr int kUnknown = -1;
  static std::atomic<int> known = kUnknown;
  int isa = known.load(std::memory_order_relaxed);
  if (isa == kUnknown) {
    isa = static_cast<int>(Detect());
    known.store(isa, std::memory_order_relaxed);
  }
  return static_cast<Isa>(isa);
}

bool ParseIsa(const char* name, Isa* isa) {
  for (int i = 0; i < kIsaCount; ++i) {
    if (OfThisArchitecture(kIsaNames[i]) && strcmp(name, kIsaNames[i]) == 0) {
      *isa = static_cast<Isa>(i);
      return true;
    }
  }
  return false;
}

bool SelectIsa(Isa* isa) {
  *isa = DetectIsa();
  const char* wanted = getenv("SQUEEZE_ISA");
  if (!wanted || !*wanted) return true;
  Isa limit;
  if (!ParseIsa(wanted, &limit)) return false;
  if (limit < *isa) *isa = limit;
  return true;
}

Isa KernelIsa() {
  Isa isa;
  return SelectIsa(&isa) ? isa : Isa::kPortable;
}

}  // namespace squeeze
