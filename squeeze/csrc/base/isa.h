// Which kernels this CPU may run. An id is <arch>_<feature>, the same string in file names, logs
// and SQUEEZE_ISA.
#pragma once

#include <stdint.h>

namespace squeeze {

// Clusters, not features: a CPU with an odd subset takes the cluster below. Higher value: faster,
// needs the lower ones.
enum class Isa : int { kPortable = 0, kX86Avx512Vnni = 1, kX86Amx = 2 };

inline constexpr const char* kIsaNames[] = {"portable", "x86_avx512vnni", "x86_amx"};
inline constexpr int kIsaCount = 3;

// The best cluster that CPU and operating system allow.
Isa DetectIsa();

// The cluster called `name` in `isa`; false when there is none of that name.
bool ParseIsa(const char* name, Isa* isa);

// DetectIsa(), lowered by the environment variable SQUEEZE_ISA, which can never raise it. False: it
// names no cluster.
bool SelectIsa(Isa* isa);

}  // namespace squeeze
