// 16 float32 numbers as one value, in as many registers as they take on the ISA that a file is
// compiled for. Kernels that add up numbers compute in these: the order of additions is then the
// same everywhere, and so is every result. Internal linkage only.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/kernel.h"

namespace squeeze {
namespace {

#if defined(__AVX512F__)
constexpr size_t kRegisterBytes = 64;
#elif defined(__AVX2__)
constexpr size_t kRegisterBytes = 32;
#else
constexpr size_t kRegisterBytes = 16;
#endif

constexpr size_t kLanes16 = 16;
constexpr size_t kLanesOfPart = kRegisterBytes / 4;
constexpr size_t kParts = kLanes16 / kLanesOfPart;

using FloatPart [[gnu::vector_size(kRegisterBytes), gnu::aligned(4)]] = float;
using IntPart [[gnu::vector_size(kRegisterBytes), gnu::aligned(4)]] = int32_t;

struct Ints {
  IntPart part[kParts];
};
struct Floats {
  FloatPart part[kParts];
};

// part = expression, of every part `i`.
#define SQUEEZE_EACH_PART(type, expression)                        \
  type made;                                                       \
  for (size_t i = 0; i < kParts; ++i) made.part[i] = (expression); \
  return made

SQUEEZE_INLINE Floats operator+(const Floats& a, const Floats& b) {
  SQUEEZE_EACH_PART(Floats, a.part[i] + b.part[i]);
}
SQUEEZE_INLINE Floats operator-(const Floats& a, const Floats& b) {
  SQUEEZE_EACH_PART(Floats, a.part[i] - b.part[i]);
}
SQUEEZE_INLINE Floats operator*(const Floats& a, const Floats& b) {
  SQUEEZE_EACH_PART(Floats, a.part[i] * b.part[i]);
}
SQUEEZE_INLINE Floats operator/(const Floats& a, const Floats& b) {
  SQUEEZE_EACH_PART(Floats, a.part[i] / b.part[i]);
}
// What is no number gives b.
SQUEEZE_INLINE Floats Max(const Floats& a, const Floats& b) {
  SQUEEZE_EACH_PART(Floats, a.part[i] > b.part[i] ? a.part[i] : b.part[i]);
}
SQUEEZE_INLINE Floats Min(const Floats& a, const Floats& b) {
  SQUEEZE_EACH_PART(Floats, a.part[i] < b.part[i] ? a.part[i] : b.part[i]);
}
SQUEEZE_INLINE Floats All(float value) { SQUEEZE_EACH_PART(Floats, FloatPart{} + value); }
// Of numbers that int32 has, towards zero.
SQUEEZE_INLINE Ints ToInts(const Floats& a) {
  SQUEEZE_EACH_PART(Ints, __builtin_convertvector(a.part[i], IntPart));
}
SQUEEZE_INLINE Floats ToFloats(const Ints& a) {
  SQUEEZE_EACH_PART(Floats, __builtin_convertvector(a.part[i], FloatPart));
}
SQUEEZE_INLINE Ints LoadInts(const int32_t* from) {
  Ints made;
  memcpy(&made, from, sizeof made);
  return made;
}
SQUEEZE_INLINE Ints AllInts(int32_t value) { SQUEEZE_EACH_PART(Ints, IntPart{} + value); }
SQUEEZE_INLINE Ints operator+(const Ints& a, const Ints& b) {
  SQUEEZE_EACH_PART(Ints, a.part[i] + b.part[i]);
}
SQUEEZE_INLINE Ints operator^(const Ints& a, const Ints& b) {
  SQUEEZE_EACH_PART(Ints, a.part[i] ^ b.part[i]);
}
SQUEEZE_INLINE Ints operator|(const Ints& a, const Ints& b) {
  SQUEEZE_EACH_PART(Ints, a.part[i] | b.part[i]);
}
SQUEEZE_INLINE Ints operator&(const Ints& a, const Ints& b) {
  SQUEEZE_EACH_PART(Ints, a.part[i] & b.part[i]);
}
SQUEEZE_INLINE Ints operator<<(const Ints& a, int bits) {
  SQUEEZE_EACH_PART(Ints, a.part[i] << bits);
}
// 2^a, for whole numbers from -126 to 127.
SQUEEZE_INLINE Floats PowerOf2(const Floats& a) {
  const Ints whole = ToInts(a);
  SQUEEZE_EACH_PART(Floats, (FloatPart)((whole.part[i] + 127) << 23));
}
#undef SQUEEZE_EACH_PART

// The low bytes of each number.
template <typename T>
SQUEEZE_INLINE void StoreNarrow(const Ints& a, T* to) {
  using Narrow [[gnu::vector_size(kLanesOfPart * sizeof(T))]] = T;
  for (size_t i = 0; i < kParts; ++i) {
    const Narrow part = __builtin_convertvector(a.part[i], Narrow);
    memcpy(to + i * kLanesOfPart, &part, sizeof part);
  }
}
SQUEEZE_INLINE Ints LoadWide(const int8_t* from) {
  using Narrow [[gnu::vector_size(kLanesOfPart)]] = int8_t;
  Ints made;
  for (size_t i = 0; i < kParts; ++i) {
    Narrow part;
    memcpy(&part, from + i * kLanesOfPart, sizeof part);
    made.part[i] = __builtin_convertvector(part, IntPart);
  }
  return made;
}

// Half to even; of numbers below 2^22.
SQUEEZE_INLINE Floats Round(const Floats& a) {
  const Floats magic = All(12582912.0f);  // 1.5 * 2^23
  return (a + magic) - magic;
}

SQUEEZE_INLINE Floats Load16(const float* from) {
  Floats made;
  memcpy(&made, from, sizeof made);
  return made;
}
SQUEEZE_INLINE void Store16(const Floats& a, float* to) { memcpy(to, &a, sizeof a); }

// e^a to about one unit in the last place, for numbers up to 0; below -80 it is e^-80.
SQUEEZE_INLINE Floats Exp(const Floats& a) {
  const Floats x = Max(a, All(-80.0f));
  const Floats n = Round(x * All(1.44269504f));
  // ln 2 in two parts, the first of which has few enough digits for an exact product.
  const Floats f = (x - n * All(0.693359375f)) - n * All(-2.12194440e-4f);
  Floats y = All(1.0f / 720);
  constexpr float kFactors[] = {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
  for (const float factor : kFactors) {
    y = y * f + All(factor);
  }
  return y * PowerOf2(n);
}

// The first `count` (below 16), and 0.
SQUEEZE_INLINE Floats LoadSome(const float* from, size_t count) {
  float padded[kLanes16] = {};
  memcpy(padded, from, count * sizeof *from);
  return Load16(padded);
}
SQUEEZE_INLINE void StoreSome(const Floats& a, size_t count, float* to) {
  memcpy(to, &a, count * sizeof *to);
}

// step(i, count) for all `width` numbers, 16 at a time, the last time with fewer.
template <typename Step>
SQUEEZE_INLINE void EachStep(size_t width, const Step& step) {
  size_t i = 0;
  for (; i + kLanes16 <= width; i += kLanes16) step(i, kLanes16);
  if (i < width) step(i, width - i);
}

SQUEEZE_INLINE Floats LoadUpTo16(const float* from, size_t count) {
  return count == kLanes16 ? Load16(from) : LoadSome(from, count);
}
SQUEEZE_INLINE void StoreUpTo16(const Floats& a, size_t count, float* to) {
  count == kLanes16 ? Store16(a, to) : StoreSome(a, count, to);
}

SQUEEZE_INLINE float Largest(const Floats& a) {
  float lane[kLanes16];
  Store16(a, lane);
  for (size_t half = kLanes16 / 2; half; half /= 2) {
    for (size_t i = 0; i < half; ++i) lane[i] = lane[i] > lane[i + half] ? lane[i] : lane[i + half];
  }
  return lane[0];
}

// Lane i and lane i + 8, then i and i + 4, and so on.
SQUEEZE_INLINE float Sum(const Floats& a) {
  float lane[kLanes16];
  Store16(a, lane);
  for (size_t half = kLanes16 / 2; half; half /= 2) {
    for (size_t i = 0; i < half; ++i) lane[i] += lane[i + half];
  }
  return lane[0];
}

// clamp(round(a)) + zero_point as bytes, XOR `flip`; `least` and `most` are 0 - zero_point and
// 255 - zero_point.
struct ByteRange {
  Floats least, most;
  int32_t zero_point;
  uint8_t flip;
};
SQUEEZE_INLINE ByteRange MakeByteRange(uint8_t zero_point, uint8_t flip) {
  return {All(static_cast<float>(-zero_point)), All(static_cast<float>(255 - zero_point)),
          zero_point, flip};
}
SQUEEZE_INLINE void StoreBytes(const Floats& a, const ByteRange& range, size_t count, uint8_t* to) {
  const Ints whole = ToInts(Round(Min(Max(a, range.least), range.most)));
  uint8_t bytes[kLanes16];
  StoreNarrow((whole + AllInts(range.zero_point)) ^ AllInts(range.flip), bytes);
  if (count >= kLanes16) {
    memcpy(to, bytes, kLanes16);
  } else {
    memcpy(to, bytes, count);
  }
}

}  // namespace
}  // namespace squeeze
