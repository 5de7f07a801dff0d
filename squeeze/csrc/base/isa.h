// Which kernels this CPU may run. An id is <arch>_<feature>, the same string in file names, logs
// and SQUEEZE_ISA.
#pragma once

#include <stdint.h>

namespace squeeze {

// Clusters, not features: a CPU with an odd subset takes the cluster below. Of one architecture a
// higher value is faster and needs the lower ones; no build holds kernels of two architectures.
enum class Isa : int {
  kPortable,
  kX86Avx2,        // avx2, fma
  kX86Avx512Vnni,  // avx512 f, dq, bw, vl, vbmi, vnni
  kX86Amx,         // amx tile and int8, with the permission of the operating system
  kArm64Neon,
  kArm64Dotprod,
  kArm64I8mm,
};

inline constexpr const char* kIsaNames[] = {"portable",  "x86_avx2",   "x86_avx512vnni",
                                            "x86_amx",   "arm64_neon", "arm64_dotprod",
                                            "arm64_i8mm"};
inline constexpr int kIsaCount = 7;

// Those of this architecture, for messages.
#if defined(__x86_64__)
inline constexpr const char* kIsaNamesHere = "portable, x86_avx2, x86_avx512vnni, x86_amx";
#elif defined(__aarch64__)
inline constexpr const char* kIsaNamesHere = "portable, arm64_neon, arm64_dotprod, arm64_i8mm";
#else
inline constexpr const char* kIsaNamesHere = "portable";
#endif

// The best cluster that CPU and operating system allow.
Isa DetectIsa();

// The cluster called `name` in `isa`; false when this architecture has none of that name.
bool ParseIsa(const char* name, Isa* isa);

// DetectIsa(), lowered by the environment variable SQUEEZE_ISA, which can never raise it. False: it
// names no cluster.
bool SelectIsa(Isa* isa);

// The same for a node. RegisterCustomOps refuses a name that is none; where SQUEEZE_ISA was changed
// to one since, this is portable.
Isa KernelIsa();

}  // namespace squeeze
