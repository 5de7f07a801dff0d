#include "base/isa.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
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
  if (!__get_cpuid(1, &a, &b, &c, &d) || !Bit(c, 27)) return Isa::kPortable;  // 27: xgetbv allowed
  const uint64_t state = EnabledState();
  constexpr uint64_t kAvx512State = 0xe6, kTileState = 0x60000;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return Isa::kPortable;
  const bool avx512 = Bit(b, 16) && Bit(b, 17) && Bit(b, 30) && Bit(b, 31);  // f, dq, bw, vl
  const bool vbmi_vnni = Bit(c, 1) && Bit(c, 11);
  if ((state & kAvx512State) != kAvx512State || !avx512 || !vbmi_vnni) return Isa::kPortable;
  const bool amx = Bit(d, 24) && Bit(d, 25);  // tile, int8
  if ((state & kTileState) != kTileState || !amx || !RequestTiles()) return Isa::kX86Avx512Vnni;
  return Isa::kX86Amx;
}

#else

Isa Detect() { return Isa::kPortable; }

#endif

}  // namespace

Isa DetectIsa() {
  static const Isa isa = Detect();
  return isa;
}

bool ParseIsa(const char* name, Isa* isa) {
  for (int i = 0; i < kIsaCount; ++i) {
    if (strcmp(name, kIsaNames[i]) == 0) {
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

}  // namespace squeeze
