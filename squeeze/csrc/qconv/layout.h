// Turns images between channels-first [n, c, pixels] and channels-last [n, pixels, c]. u8 only.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/isa.h"

namespace squeeze::qconv {

void ToChannelsLast(Isa isa, const uint8_t* from, size_t images, size_t channels, size_t pixels,
                    uint8_t* to);
void ToChannelsFirst(const uint8_t* from, size_t images, size_t channels, size_t pixels,
                     uint8_t* to);

}  // namespace squeeze::qconv
