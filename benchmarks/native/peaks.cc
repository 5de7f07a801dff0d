// What this machine can do at most: multiply-accumulates per second of the instructions that the
// kernels are made of, and bytes per second of a copy, as JSON on stdout. An argument gives the
// number of threads; they run at once and their rates are added.
#include <sched.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "base/isa.h"

namespace {

using squeeze::Isa;

constexpr int kRounds = 200, kLoops = 20000;

double NowNs() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

// Whole loops in assembly, with independent accumulators enough to cover the latency: a compiler
// that spills one of them halves the result. All registers are zero, which no unit is faster with.
#define LOOP(body) asm volatile("1:\n" body NEXT : "+r"(loops)::"memory", "cc" CLOBBERS)
#define X4(op, a, b, c, d) op(a) op(b) op(c) op(d)
#define X12(op) X4(op, 0, 1, 2, 3) X4(op, 4, 5, 6, 7) X4(op, 8, 9, 10, 11)

#if defined(__x86_64__)

#define NEXT "dec %0\njnz 1b\n"
#define CLOBBERS                                                                             \
  , "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
      "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

#define DOT(i) "vpdpbusd %%zmm15, %%zmm14, %%zmm" #i "\n"
#define FMA512(i) "vfmadd231ps %%zmm15, %%zmm14, %%zmm" #i "\n"
#define FMA256(i) "vfmadd231ps %%ymm15, %%ymm14, %%ymm" #i "\n"
#define MULTIPLY_ADD(i) \
  "vpmaddwd %%ymm15, %%ymm14, %%ymm13\nvpaddd %%ymm13, %%ymm" #i ", %%ymm" #i "\n"

void DotZmm(int64_t loops) {
  asm volatile("vzeroall");
  LOOP(X12(DOT));
}

void FmaZmm(int64_t loops) {
  asm volatile("vzeroall");
  LOOP(X12(FMA512));
}

void FmaYmm(int64_t loops) {
  asm volatile("vzeroall");
  LOOP(X12(FMA256));
}

void MultiplyAddYmm(int64_t loops) {
  asm volatile("vzeroall");
  LOOP(X12(MULTIPLY_ADD));
}

// Four accumulator tiles of 16 x 16, 64 bytes deep.
void DotTile(int64_t loops) {
  struct alignas(64) {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  asm volatile("ldtilecfg %0" ::"m"(config) : "memory");
  asm volatile(
      "tilezero %%tmm0\ntilezero %%tmm1\ntilezero %%tmm2\ntilezero %%tmm3\n"
      "tilezero %%tmm4\ntilezero %%tmm6\n" ::
          : "memory");
#define TILE(i) "tdpbusd %%tmm6, %%tmm4, %%tmm" #i "\n"
  LOOP(X4(TILE, 0, 1, 2, 3) X4(TILE, 0, 1, 2, 3) X4(TILE, 0, 1, 2, 3));
  asm volatile("tilerelease" ::: "memory");
}

#elif defined(__aarch64__)

#define NEXT "subs %0, %0, #1\nbne 1b\n"
#define CLOBBERS                                                                                   \
  , "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", \
      "v15", "v16"

#define FMA128(i) "fmla v" #i ".4s, v14.4s, v15.4s\n"
// 16 products of 8 bits: two halves of 16 bits, added in pairs to 32 bits.
#define LONG_ADD(i)                                                 \
  "smull v13.8h, v14.8b, v15.8b\nsmull2 v16.8h, v14.16b, v15.16b\n" \
  "sadalp v" #i ".4s, v13.8h\nsadalp v" #i ".4s, v16.8h\n"
#define DOT(i) "sdot v" #i ".4s, v14.16b, v15.16b\n"
#define MATRIX(i) "usmmla v" #i ".4s, v14.16b, v15.16b\n"

// The assembler is told what it may write; whether the CPU has it is asked before the call.
asm(".arch armv8.6-a");

void FmaNeon(int64_t loops) { LOOP(X12(FMA128)); }
void LongAddNeon(int64_t loops) { LOOP(X12(LONG_ADD)); }
void DotNeon(int64_t loops) { LOOP(X12(DOT)); }
void MatrixNeon(int64_t loops) { LOOP(X12(MATRIX)); }

#endif

struct Probe {
  Isa isa;
  const char* key;  // of the JSON object
  const char* instruction;
  void (*run)(int64_t loops);
  int macs;  // of one loop
};

const Probe kProbes[] = {
#if defined(__x86_64__)
    {Isa::kX86Avx2, "int8", "vpmaddwd+vpaddd ymm", MultiplyAddYmm, 12 * 16},
    {Isa::kX86Avx2, "float", "vfmadd231ps ymm", FmaYmm, 12 * 8},
    {Isa::kX86Avx512Vnni, "int8", "vpdpbusd zmm", DotZmm, 12 * 64},
    {Isa::kX86Avx512Vnni, "float", "vfmadd231ps zmm", FmaZmm, 12 * 16},
    {Isa::kX86Amx, "int8", "tdpbusd", DotTile, 12 * 16 * 16 * 64},
    {Isa::kX86Amx, "float", "vfmadd231ps zmm", FmaZmm, 12 * 16},
#elif defined(__aarch64__)
    {Isa::kArm64Neon, "int8", "smull+sadalp", LongAddNeon, 12 * 16},
    {Isa::kArm64Neon, "float", "fmla", FmaNeon, 12 * 4},
    {Isa::kArm64Dotprod, "int8", "sdot", DotNeon, 12 * 16},
    {Isa::kArm64Dotprod, "float", "fmla", FmaNeon, 12 * 4},
    {Isa::kArm64I8mm, "int8", "usmmla", MatrixNeon, 12 * 32},
    {Isa::kArm64I8mm, "float", "fmla", FmaNeon, 12 * 4},
#endif
};

// Each thread stays on a core of its own: left to the scheduler, two may share one for all of a
// probe.
void StayOn(int thread) {
  cpu_set_t allowed, one;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
  const int wanted = thread % std::max(1, CPU_COUNT(&allowed));
  for (int cpu = 0, seen = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed) || seen++ != wanted) continue;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof(one), &one);
    return;
  }
}

// The best of many short runs on each of `threads` threads at once; `work` counts per run, the
// result is work per nanosecond.
template <class Run>
double Rate(int threads, double work, Run run) {
  std::vector<double> rates(static_cast<size_t>(threads));
  std::vector<std::thread> running;
  for (int t = 0; t < threads; ++t) {
    running.emplace_back([&rate = rates[static_cast<size_t>(t)], t, work, run] {
      StayOn(t);
      auto body = run();
      body();
      for (int i = 0; i < kRounds; ++i) {
        const double start = NowNs();
        body();
        rate = std::max(rate, work / (NowNs() - start));
      }
    });
  }
  double sum = 0;
  for (std::thread& thread : running) thread.join();
  for (const double rate : rates) sum += rate;
  return sum;
}

double Gmacs(const Probe& probe, int threads) {
  // Tile instructions take 16 cycles each: fewer of them, so that a run stays short of a time
  // slice.
  const int64_t loops = probe.isa == Isa::kX86Amx ? kLoops / 10 : kLoops;
  const auto run = probe.run;
  return Rate(threads, static_cast<double>(loops) * probe.macs,
              [run, loops] { return [run, loops] { run(loops); }; });
}

// Bytes read plus bytes written, per nanosecond.
double Copy(size_t bytes, int threads) {
  const size_t repeats = std::max<size_t>(1, (size_t{4} << 20) / bytes);
  return Rate(threads, 2.0 * static_cast<double>(bytes * repeats), [bytes, repeats] {
    std::vector<char> from(bytes, 1), to(bytes, 2);
    return [from = std::move(from), to = std::move(to), bytes, repeats]() mutable {
      for (size_t i = 0; i < repeats; ++i) {
        std::memcpy(to.data(), from.data(), bytes);
        asm volatile("" ::"r"(to.data()) : "memory");
      }
    };
  });
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::max(1, std::atoi(argv[1])) : 1;
  std::printf("{\"threads\": %d, \"gmacs\": [", threads);
  const char* comma = "";
  for (const Probe& probe : kProbes) {
    if (probe.isa > squeeze::DetectIsa()) continue;
    std::printf(
        "%s\n {\"isa\": \"%s\", \"type\": \"%s\", \"instruction\": \"%s\", \"gmacs\": %.1f}", comma,
        squeeze::kIsaNames[static_cast<int>(probe.isa)], probe.key, probe.instruction,
        Gmacs(probe, threads));
    comma = ",";
  }
  // Both buffers in the first-level cache, in the second, in memory.
  std::printf("],\n \"copy_gbs\": {\"l1\": %.1f, \"l2\": %.1f, \"memory\": %.1f}}\n",
              Copy(size_t{8} << 10, threads), Copy(size_t{128} << 10, threads),
              Copy(size_t{64} << 20, threads));
  return 0;
}
