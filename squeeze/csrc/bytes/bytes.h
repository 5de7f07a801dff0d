// What is done to the bytes of a tensor around a kernel: signs turned, a table applied.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/isa.h"

namespace squeeze {

// An s8 value with this bit turned is its u8 twin, and the other way round.
inline constexpr uint8_t kSignBit = 0x80;

// to[i] = from[i] with the sign turned; `from` may be `to`.
void TurnSigns(Isa isa, const uint8_t* from, size_t count, uint8_t* to);

// bytes[i] = table[bytes[i]], with 256 entries.
void LookUp(Isa isa, const uint8_t* table, uint8_t* bytes, size_t count);

}  // namespace squeeze
