#include "bytes/bytes.h"

namespace squeeze {

#if defined(__x86_64__)
void TurnSigns__x86_avx512vnni(const uint8_t* from, size_t count, uint8_t* to);
void LookUp__x86_avx512vnni(const uint8_t* table, uint8_t* bytes, size_t count);
void LookUp__x86_avx2(const uint8_t* table, uint8_t* bytes, size_t count);
#elif defined(__aarch64__)
void LookUp__arm64_neon(const uint8_t* table, uint8_t* bytes, size_t count);
#endif

void TurnSigns([[maybe_unused]] Isa isa, const uint8_t* from, size_t count, uint8_t* to) {
#if defined(__x86_64__)
  if (isa >= Isa::kX86Avx512Vnni) return TurnSigns__x86_avx512vnni(from, count, to);
#endif
  for (size_t i = 0; i < count; ++i) to[i] = from[i] ^ kSignBit;
}

void LookUp([[maybe_unused]] Isa isa, const uint8_t* table, uint8_t* bytes, size_t count) {
#if defined(__x86_64__)
  if (isa >= Isa::kX86Avx512Vnni) return LookUp__x86_avx512vnni(table, bytes, count);
  if (isa >= Isa::kX86Avx2) return LookUp__x86_avx2(table, bytes, count);
#elif defined(__aarch64__)
  if (isa >= Isa::kArm64Neon) return LookUp__arm64_neon(table, bytes, count);
#endif
  for (size_t i = 0; i < count; ++i) bytes[i] = table[bytes[i]];
}

}  // namespace squeeze
