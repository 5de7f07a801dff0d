// Images turned between channels-first and channels-last on every ISA of this CPU, against one
// byte at a time: all remainders of channels and pixels, nothing touched outside of the images.
#include "images/layout.h"

#include <stdio.h>

#include "native/guarded.h"

bool TestLayouts();

namespace {

using squeeze::Isa;
using squeeze::native::Guarded;
using squeeze::native::Random;

const char* Check(Isa isa, size_t images, size_t channels, size_t pixels, Random& random) {
  const size_t image = channels * pixels;
  const auto turned = static_cast<uint8_t>(random(0, 1) * 0x80);
  const Guarded planes(images * image), last(images * image), back(images * image);
  for (size_t i = 0; i < images * image; ++i) planes.data()[i] = random(0, 255);
  squeeze::images::ToChannelsLast(isa, planes.data(), images, channels, pixels, last.data(),
                                  turned);
  squeeze::images::ToChannelsFirst(isa, last.data(), images, channels, pixels, back.data());
  if (!planes.Intact() || !last.Intact() || !back.Intact()) return "wrote outside of an image";
  for (size_t i = 0; i < images * image; ++i) {
    const size_t channel = i % image / pixels, pixel = i % pixels;
    const uint8_t wanted = planes.data()[i] ^ turned;
    if (last.data()[i / image * image + pixel * channels + channel] != wanted) {
      return "differs in channels-last";
    }
    if (back.data()[i] != wanted) return "differs in channels-first";
  }
  return nullptr;
}

}  // namespace

bool TestLayouts() {
  constexpr size_t kChannels[] = {1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 64, 100};
  constexpr size_t kPixels[] = {1, 2, 9, 15, 16, 31, 32, 33, 47, 63, 64, 65, 100, 1024, 1100};
  bool ok = true;
  Random random(3);
  Isa isas[squeeze::kIsaCount];
  int count = 0;
  for (const char* name : squeeze::kIsaNames) {
    if (squeeze::ParseIsa(name, &isas[count]) && isas[count] <= squeeze::DetectIsa()) ++count;
  }
  for (int i = 0; i < count; ++i) {
    int failed = 0;
    for (const size_t channels : kChannels) {
      for (const size_t pixels : kPixels) {
        const char* wrong = Check(isas[i], random(1, 2), channels, pixels, random);
        if (!wrong || ++failed > 5) continue;
        printf("  layouts: %zu channels, %zu pixels: %s\n", channels, pixels, wrong);
      }
    }
    printf("%s layouts %s: %d failed\n", failed ? "FAILED" : "ok",
           squeeze::kIsaNames[static_cast<int>(isas[i])], failed);
    ok = ok && !failed;
  }
  return ok;
}
