// The tile unit in plain C++, as Intel's manual defines its instructions: for tests on CPUs
// without.
#pragma once

#include <stdint.h>
#include <string.h>

namespace squeeze {

struct EmulatedTile {
  uint8_t row[16][64];
};

// A load before the configuration, or after its release, would fault on the real unit.
inline EmulatedTile emulated_tiles[8];
inline bool emulated_configured = false;

inline void EmulatedLoad(int tile, const void* from, int64_t stride) {
  if (!emulated_configured) __builtin_trap();
  for (int r = 0; r < 16; ++r) {
    memcpy(emulated_tiles[tile].row[r], static_cast<const uint8_t*>(from) + r * stride, 64);
  }
}

inline void EmulatedStore(int tile, void* to) {
  if (!emulated_configured) __builtin_trap();
  memcpy(to, emulated_tiles[tile].row, sizeof(EmulatedTile));
}

// acc[m][n] += sum over k of a[m][4 k + i] * b[k][4 n + i]; A and B are the element types.
template <typename A, typename B>
inline void EmulatedDot(int acc, int a, int b) {
  if (!emulated_configured) __builtin_trap();
  for (int m = 0; m < 16; ++m) {
    for (int n = 0; n < 16; ++n) {
      uint32_t sum;
      memcpy(&sum, emulated_tiles[acc].row[m] + 4 * n, 4);
      for (int k = 0; k < 64; ++k) {
        const int left = static_cast<A>(emulated_tiles[a].row[m][k]);
        const int right = static_cast<B>(emulated_tiles[b].row[k / 4][4 * n + k % 4]);
        sum += static_cast<uint32_t>(left * right);
      }
      memcpy(emulated_tiles[acc].row[m] + 4 * n, &sum, 4);
    }
  }
}

class TileConfig {
 public:
  TileConfig() {
    memset(emulated_tiles, 0xa5, sizeof emulated_tiles);
    emulated_configured = true;
  }
  TileConfig(const TileConfig&) = delete;
  TileConfig& operator=(const TileConfig&) = delete;
  ~TileConfig() { emulated_configured = false; }
};

}  // namespace squeeze

#define TILE_LOAD(tile, from, stride) ::squeeze::EmulatedLoad(tile, from, stride)
#define TILE_STORE(tile, to) ::squeeze::EmulatedStore(tile, to)
#define TILE_DOT(acc, a, b) ::squeeze::EmulatedDot<uint8_t, int8_t>(acc, a, b)
#define TILE_DOT_SU(acc, a, b) ::squeeze::EmulatedDot<int8_t, uint8_t>(acc, a, b)
