// 16 float32 numbers as one value, in as many registers as they take on the ISA that a file is
// compiled for. Kernels that add up numbers compute in these: the order of additions is then the
// same everywhere, and so is every result. Internal linkage only.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <utility>

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

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

using FloatPart [[gnu::vector_size(kRegisterBytes)]] = float;
using IntPart [[gnu::vector_size(kRegisterBytes)]] = int32_t;

struct Ints {
  IntPart part[kParts];
};
struct Floats {
  FloatPart part[kParts];
};

// For loops over parts: values stay in registers only where the compiler sees each part by itself.
#define SQUEEZE_UNROLL _Pragma("GCC unroll 4")

// part = expression, of every part `i`.
#define SQUEEZE_EACH_PART(type, expression)                                       \
  type made;                                                                      \
  SQUEEZE_UNROLL for (size_t i = 0; i < kParts; ++i) made.part[i] = (expression); \
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
  SQUEEZE_UNROLL for (size_t i = 0; i < kParts; ++i) {
    memcpy(&made.part[i], from + i * kLanesOfPart, kRegisterBytes);
  }
  return made;
}
SQUEEZE_INLINE void StoreInts(const Ints& a, int32_t* to) {
  SQUEEZE_UNROLL for (size_t i = 0; i < kParts; ++i) {
    memcpy(to + i * kLanesOfPart, &a.part[i], kRegisterBytes);
  }
}
SQUEEZE_INLINE Ints AllInts(int32_t value) { SQUEEZE_EACH_PART(Ints, IntPart{} + value); }
SQUEEZE_INLINE Ints operator+(const Ints& a, const Ints& b) {
  SQUEEZE_EACH_PART(Ints, a.part[i] + b.part[i]);
}
SQUEEZE_INLINE Ints operator-(const Ints& a, const Ints& b) {
  SQUEEZE_EACH_PART(Ints, a.part[i] - b.part[i]);
}
SQUEEZE_INLINE Ints operator*(const Ints& a, const Ints& b) {
  SQUEEZE_EACH_PART(Ints, a.part[i] * b.part[i]);
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

// One part, rounded half to even: as a number below 2^22 that is whole, and as an integer.
#if defined(__AVX512F__)
SQUEEZE_INLINE FloatPart RoundPart(FloatPart a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
SQUEEZE_INLINE IntPart RoundPartToInt(FloatPart a) { return (IntPart)_mm512_cvtps_epi32(a); }
#elif defined(__AVX2__)
SQUEEZE_INLINE FloatPart RoundPart(FloatPart a) {
  return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
SQUEEZE_INLINE IntPart RoundPartToInt(FloatPart a) { return (IntPart)_mm256_cvtps_epi32(a); }
#elif defined(__aarch64__)
SQUEEZE_INLINE FloatPart RoundPart(FloatPart a) { return vrndnq_f32(a); }
SQUEEZE_INLINE IntPart RoundPartToInt(FloatPart a) { return vcvtnq_s32_f32(a); }
#else
SQUEEZE_INLINE FloatPart RoundPart(FloatPart a) {
  const FloatPart magic = FloatPart{} + 12582912.0f;  // 1.5 * 2^23
  return (a + magic) - magic;
}
SQUEEZE_INLINE IntPart RoundPartToInt(FloatPart a) {
  return __builtin_convertvector(RoundPart(a), IntPart);
}
#endif
SQUEEZE_INLINE Floats Round(const Floats& a) { SQUEEZE_EACH_PART(Floats, RoundPart(a.part[i])); }
SQUEEZE_INLINE Ints RoundToInts(const Floats& a) {
  SQUEEZE_EACH_PART(Ints, RoundPartToInt(a.part[i]));
}

// a * 2^n, for whole n from -126 to 127 and results that are normal numbers.
SQUEEZE_INLINE Floats TimesPowerOf2(const Floats& a, const Floats& n) {
#if defined(__AVX512F__)
  return {{_mm512_scalef_ps(a.part[0], n.part[0])}};
#else
  const Ints whole = RoundToInts(n);
  SQUEEZE_EACH_PART(Floats, a.part[i] * (FloatPart)((whole.part[i] + 127) << 23));
#endif
}
#undef SQUEEZE_EACH_PART

// The low bytes of each number.
template <typename T>
SQUEEZE_INLINE void StoreNarrow(const Ints& a, T* to) {
  using Narrow [[gnu::vector_size(kLanesOfPart * sizeof(T))]] = T;
  SQUEEZE_UNROLL for (size_t i = 0; i < kParts; ++i) {
    const Narrow part = __builtin_convertvector(a.part[i], Narrow);
    memcpy(to + i * kLanesOfPart, &part, sizeof part);
  }
}
SQUEEZE_INLINE Ints LoadWide(const int8_t* from) {
  using Narrow [[gnu::vector_size(kLanesOfPart)]] = int8_t;
  Ints made;
  SQUEEZE_UNROLL for (size_t i = 0; i < kParts; ++i) {
    Narrow part;
    memcpy(&part, from + i * kLanesOfPart, sizeof part);
    made.part[i] = __builtin_convertvector(part, IntPart);
  }
  return made;
}

// Part by part, so that compilers keep them in registers.
SQUEEZE_INLINE Floats Load16(const float* from) {
  Floats made;
  SQUEEZE_UNROLL for (size_t i = 0; i < kParts; ++i) {
    memcpy(&made.part[i], from + i * kLanesOfPart, kRegisterBytes);
  }
  return made;
}
SQUEEZE_INLINE void Store16(const Floats& a, float* to) {
  SQUEEZE_UNROLL for (size_t i = 0; i < kParts; ++i) {
    memcpy(to + i * kLanesOfPart, &a.part[i], kRegisterBytes);
  }
}

// e^a within 1e-5 of itself, for numbers up to 0; below -80 it is e^-80.
SQUEEZE_INLINE Floats Exp(const Floats& a) {
  const Floats x = Max(a, All(-80.0f)) * All(1.44269504f);
  const Floats n = Round(x), f = x - n;
  // 2^f over -0.5 .. 0.5: of the polynomials of this degree that are 1 at 0, the one whose largest
  // relative error, 2.8e-6, is least.
  constexpr float kFactors[] = {5.590644e-2f, 0.24024099f, 0.69312419f, 1.0f};
  Floats y = All(9.58286e-3f);
  for (const float factor : kFactors) y = y * f + All(factor);
  return TimesPowerOf2(y, n);
}

// The first `count` (below 16), and 0.
SQUEEZE_INLINE Floats LoadSome(const float* from, size_t count) {
  float padded[kLanes16] = {};
  memcpy(padded, from, count * sizeof *from);
  return Load16(padded);
}
SQUEEZE_INLINE void StoreSome(const Floats& a, size_t count, float* to) {
  float padded[kLanes16];
  Store16(a, padded);
  memcpy(to, padded, count * sizeof *to);
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

// Lane i is lane i + kShift, around the end of a part.
template <size_t kShift, size_t... kLane>
SQUEEZE_INLINE FloatPart Rotated(FloatPart a, std::index_sequence<kLane...>) {
  return __builtin_shufflevector(a, a, ((kLane + kShift) % kLanesOfPart)...);
}

// join() of all lanes: of lane i and lane i + 8, then of i and i + 4, and so on.
template <typename Join>
SQUEEZE_INLINE float Folded(const Floats& a, const Join& join) {
  FloatPart part[kParts];
  SQUEEZE_UNROLL for (size_t i = 0; i < kParts; ++i) part[i] = a.part[i];
  for (size_t half = kParts / 2; half; half /= 2) {
    for (size_t i = 0; i < half; ++i) part[i] = join(part[i], part[i + half]);
  }
  constexpr std::make_index_sequence<kLanesOfPart> kAll;
  if constexpr (kLanesOfPart > 8) part[0] = join(part[0], Rotated<8>(part[0], kAll));
  if constexpr (kLanesOfPart > 4) part[0] = join(part[0], Rotated<4>(part[0], kAll));
  part[0] = join(part[0], Rotated<2>(part[0], kAll));
  return join(part[0], Rotated<1>(part[0], kAll))[0];
}
SQUEEZE_INLINE float Largest(const Floats& a) {
  return Folded(a, [](FloatPart x, FloatPart y) { return x > y ? x : y; });
}
SQUEEZE_INLINE float Sum(const Floats& a) {
  return Folded(a, [](FloatPart x, FloatPart y) { return x + y; });
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
  const Ints whole = RoundToInts(Min(Max(a, range.least), range.most));
  const Ints bytes = (whole + AllInts(range.zero_point)) ^ AllInts(range.flip);
  if (count >= kLanes16) return StoreNarrow(bytes, to);
  uint8_t padded[kLanes16];
  StoreNarrow(bytes, padded);
  memcpy(to, padded, count);
}

}  // namespace
}  // namespace squeeze
