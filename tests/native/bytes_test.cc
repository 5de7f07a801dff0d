// Turned signs and tables on every ISA of this CPU: against one byte at a time, all values, all
// remainders, nothing written outside of the bytes.
#include "bytes/bytes.h"

#include <stdio.h>

#include "native/guarded.h"

bool TestBytes();

namespace {

using squeeze::Isa;
using squeeze::native::Guarded;
using squeeze::native::Random;

const char* Check(Isa isa, size_t count, const uint8_t* table, Random& random) {
  const Guarded bytes(count), copy(count), turned(count);
  for (size_t i = 0; i < count; ++i) copy.data()[i] = bytes.data()[i] = random(0, 255);
  squeeze::TurnSigns(isa, bytes.data(), count, turned.data());
  squeeze::LookUp(isa, table, bytes.data(), count);
  if (!bytes.Intact() || !turned.Intact()) return "wrote outside of the bytes";
  for (size_t i = 0; i < count; ++i) {
    if (turned.data()[i] != (copy.data()[i] ^ 0x80)) return "turned a sign wrongly";
    if (bytes.data()[i] != table[copy.data()[i]]) return "looked up another entry";
  }
  return nullptr;
}

}  // namespace

bool TestBytes() {
  Random random(3);
  uint8_t table[256];
  for (uint8_t& entry : table) entry = random(0, 255);
  const int best = static_cast<int>(squeeze::DetectIsa());
  const int first =
      best >= static_cast<int>(Isa::kArm64Neon) ? static_cast<int>(Isa::kArm64Neon) : 0;
  bool ok = true;
  for (int isa = 0; isa <= best; isa = isa < first ? first : isa + 1) {
    const char* wrong = nullptr;
    for (size_t count = 0; count < 300 && !wrong; ++count) {
      wrong = Check(static_cast<Isa>(isa), count, table, random);
    }
    printf("%s bytes %s: %s\n", wrong ? "FAILED" : "ok", squeeze::kIsaNames[isa],
           wrong ? wrong : "300 sizes");
    ok = ok && !wrong;
  }
  return ok;
}
