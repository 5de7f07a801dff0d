// Turns images between channels-first [n, c, pixels] and channels-last [n, pixels, c] of bytes.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/isa.h"

namespace squeeze::images {

// The bits of `turned` are turned in every byte on the way.
void ToChannelsLast(Isa isa, const uint8_t* from, size_t images, size_t channels, size_t pixels,
                    uint8_t* to, uint8_t turned);
void ToChannelsFirst(Isa isa, const uint8_t* from, size_t images, size_t channels, size_t pixels,
                     uint8_t* to);

}  // namespace squeeze::images
