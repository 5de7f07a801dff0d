// The two loops of LSQ, for both types. Each kernel file compiles its own copy, for its ISA.
#pragma once

#include "base/lanes16.h"
#include "lsq/lsq.h"

namespace squeeze::lsq {
namespace {

using Bits16 = uint16_t;  // a bfloat16: the upper half of a float32
using BitsPart [[gnu::vector_size(kRegisterBytes)]] = uint32_t;
using NarrowPart [[gnu::vector_size(kRegisterBytes / 2)]] = Bits16;

SQUEEZE_INLINE Floats Load(const float* from) { return Load16(from); }
SQUEEZE_INLINE Floats Load(const Bits16* from) {
  Floats made;
  SQUEEZE_UNROLL for (size_t i = 0; i < kParts; ++i) {
    NarrowPart part;
    memcpy(&part, from + i * kLanesOfPart, sizeof part);
    made.part[i] = (FloatPart)(__builtin_convertvector(part, BitsPart) << 16);
  }
  return made;
}

SQUEEZE_INLINE void Store(const Floats& a, float* to) { Store16(a, to); }
SQUEEZE_INLINE void Store(const Floats& a, Bits16* to) {
  constexpr uint32_t kNoNumber = 0x7fc0;
  SQUEEZE_UNROLL for (size_t i = 0; i < kParts; ++i) {
    const BitsPart bits = (BitsPart)a.part[i];
    const BitsPart rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    const BitsPart kept = a.part[i] == a.part[i] ? rounded : BitsPart{} + kNoNumber;
    const NarrowPart part = __builtin_convertvector(kept, NarrowPart);
    memcpy(to + i * kLanesOfPart, &part, sizeof part);
  }
}

// The first `count`, and 0, which adds nothing to a sum.
template <typename T>
SQUEEZE_INLINE Floats LoadUpTo(const T* from, size_t count) {
  if (count == kLanes16) return Load(from);
  T padded[kLanes16] = {};
  memcpy(padded, from, count * sizeof *from);
  return Load(padded);
}
template <typename T>
SQUEEZE_INLINE void StoreUpTo(const Floats& a, size_t count, T* to) {
  if (count == kLanes16) return Store(a, to);
  T padded[kLanes16];
  Store(a, padded);
  memcpy(to, padded, count * sizeof *to);
}

// In this order of operands what is no number stays.
SQUEEZE_INLINE Floats Level(const Floats& place, const Floats& low, const Floats& high) {
  return Round(Min(high, Max(low, place)));
}

template <typename T>
void Forward(const Grid& grid, const void* from, size_t count, void* to) {
  const Floats step = All(grid.step), low = All(grid.low), high = All(grid.high);
  const T* __restrict x = static_cast<const T*>(from);
  T* __restrict y = static_cast<T*>(to);
  EachStep(count, [&](size_t i, size_t some) {
    StoreUpTo(Level(LoadUpTo(x + i, some) / step, low, high) * step, some, y + i);
  });
}

template <typename T>
void Backward(const Grid& grid, const void* x_from, const void* g_from, size_t count, void* to,
              Sums* sums) {
  const Floats step = All(grid.step), low = All(grid.low), high = All(grid.high);
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const T* __restrict x = static_cast<const T*>(x_from) + begin;
    const T* __restrict g = static_cast<const T*>(g_from) + begin;
    T* __restrict dx = static_cast<T*>(to) + begin;
    Floats of_step = All(0), beyond = All(0);
    EachStep(count - begin < kBlock ? count - begin : kBlock, [&](size_t i, size_t some) {
      const Floats place = LoadUpTo(x + i, some) / step, given = LoadUpTo(g + i, some);
      Floats error = Level(place, low, high), passed;
      SQUEEZE_UNROLL for (size_t k = 0; k < kParts; ++k) {
        const FloatPart p = place.part[k], all = given.part[k], none = {};
        const IntPart inside = (p >= low.part[k]) & (p <= high.part[k]);
        passed.part[k] = inside ? all : none;
        beyond.part[k] += inside ? none : all;
        error.part[k] -= inside ? p : none;
        of_step.part[k] += error.part[k] * all;
      }
      StoreUpTo(passed, some, dx + i);
    });
    *sums++ = {Sum(of_step), Sum(beyond)};
  }
}

constexpr Passes kFloat32 = {Forward<float>, Backward<float>};
constexpr Passes kBfloat16 = {Forward<Bits16>, Backward<Bits16>};

}  // namespace
}  // namespace squeeze::lsq
