// The tile unit: eight tiles of 16 rows of 64 bytes. Read by files that are compiled for AMX only.
// With SQUEEZE_EMULATE_AMX the same names stand for plain C++: the tests then check what a kernel
// does around the tiles on any CPU with AVX512-VNNI.
#pragma once

#include <stdint.h>

namespace squeeze {

inline constexpr int32_t kTilePixels = 16;
inline constexpr int32_t kTileBytes = 1024;

}  // namespace squeeze

#if defined(SQUEEZE_EMULATE_AMX)
#include "native/x86_amx_emulation.h"
#else

// Own macros: GCC 12's intrinsics do not tell the compiler that they touch memory.
#define TILE_LOAD(tile, from, stride)                                                   \
  asm volatile("tileloadd (%0,%1,1), %%tmm" #tile::"r"(static_cast<const void*>(from)), \
               "r"(static_cast<int64_t>(stride))                                        \
               : "memory")
#define TILE_STORE(tile, to)                                                         \
  asm volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(static_cast<void*>(to)), \
               "r"(int64_t{64})                                                      \
               : "memory")
// acc += a (u8) * b (s8), and the same with a s8 and b u8.
#define TILE_DOT(acc, a, b) asm volatile("tdpbusd %%tmm" #b ", %%tmm" #a ", %%tmm" #acc::: "memory")
#define TILE_DOT_SU(acc, a, b) \
  asm volatile("tdpbsud %%tmm" #b ", %%tmm" #a ", %%tmm" #acc::: "memory")

namespace squeeze {

// All eight tiles as 16 rows of 64 bytes, for the life of this object.
class TileConfig {
 public:
  TileConfig() {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } config;
    asm volatile("ldtilecfg %0" ::"m"(config) : "memory");
  }
  TileConfig(const TileConfig&) = delete;
  TileConfig& operator=(const TileConfig&) = delete;
  ~TileConfig() { asm volatile("tilerelease" ::: "memory"); }
};

}  // namespace squeeze

#endif
