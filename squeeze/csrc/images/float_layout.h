// Turns float images between channels-first [n, c, pixels] and channels-last [n, pixels, c].
#pragma once

#include <stddef.h>

namespace squeeze::images {

void ToChannelsLast(const float* from, size_t images, size_t channels, size_t pixels, float* to);
void ToChannelsFirst(const float* from, size_t images, size_t channels, size_t pixels, float* to);

}  // namespace squeeze::images
