// 16 bytes at a time against four quarters of the table: an index beyond a quarter leaves the byte
// as the quarters before gave it.
#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

namespace squeeze {

void LookUp__arm64_neon(const uint8_t* table, uint8_t* bytes, size_t count);

void LookUp__arm64_neon(const uint8_t* table, uint8_t* bytes, size_t count) {
  const uint8x16x4_t quarters[4] = {vld1q_u8_x4(table), vld1q_u8_x4(table + 64),
                                    vld1q_u8_x4(table + 128), vld1q_u8_x4(table + 192)};
  const uint8x16_t quarter = vdupq_n_u8(64);
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    uint8x16_t index = vld1q_u8(bytes + i);
    uint8x16_t found = vqtbl4q_u8(quarters[0], index);
    for (int q = 1; q < 4; ++q) {
      index = vsubq_u8(index, quarter);
      found = vqtbx4q_u8(found, quarters[q], index);
    }
    vst1q_u8(bytes + i, found);
  }
  for (; i < count; ++i) bytes[i] = table[bytes[i]];
}

}  // namespace squeeze
