// One group, for every 64-bit Arm. A table of 16 floats is the 64 bytes that one tbl looks up: an
// index becomes the places of its float's four bytes.
#include <arm_neon.h>

#include "codebook/dense.h"

namespace squeeze::codebook {
namespace {

struct Neon {
  using Floats = float32x4_t;
  using Bits = uint32x4_t;
  using Table = uint8x16x4_t;
  static constexpr int kLanes = 4;
  static constexpr int kGroups = 4;
  static constexpr int Pixels(int groups) { return groups == 4 ? 6 : 8; }
  static constexpr int kFewPixels = 8;
  static constexpr int FewChannels(int pixels) { return pixels == 1 ? 4 : 2; }

  SQUEEZE_INLINE Floats Zero() { return vdupq_n_f32(0); }
  SQUEEZE_INLINE Floats Load(const float* from) { return vld1q_f32(from); }
  SQUEEZE_INLINE Floats LoadPart(const float* from, int32_t count) {
    float some[4] = {};
    for (int32_t i = 0; i < count; ++i) some[i] = from[i];
    return vld1q_f32(some);
  }
  SQUEEZE_INLINE void Store(float* to, Floats v) { vst1q_f32(to, v); }
  SQUEEZE_INLINE void StorePart(float* to, Floats v, int32_t count) {
    float some[4];
    vst1q_f32(some, v);
    for (int32_t i = 0; i < count; ++i) to[i] = some[i];
  }
  SQUEEZE_INLINE Floats Broadcast(const float* from) { return vld1q_dup_f32(from); }
  SQUEEZE_INLINE Floats MulAdd(Floats sum, Floats a, Floats b) { return vfmaq_f32(sum, a, b); }
  SQUEEZE_INLINE Bits LoadBits(const uint8_t* from) { return vreinterpretq_u32_u8(vld1q_u8(from)); }
  SQUEEZE_INLINE Bits Shift(Bits bits, int32_t count) {
    return vshlq_u32(bits, vdupq_n_s32(-count));
  }
  SQUEEZE_INLINE Table LoadTable(const float* from) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(from);
    return {{vld1q_u8(bytes), vld1q_u8(bytes + 16), vld1q_u8(bytes + 32), vld1q_u8(bytes + 48)}};
  }
  SQUEEZE_INLINE Floats Lookup(const Table& table, Bits bits) {
    const uint32x4_t index = vandq_u32(bits, vdupq_n_u32(15));
    const uint32x4_t places = vmlaq_u32(vdupq_n_u32(0x03020100), index, vdupq_n_u32(0x04040404));
    return vreinterpretq_f32_u8(vqtbl4q_u8(table, vreinterpretq_u8_u32(places)));
  }
  SQUEEZE_INLINE void Sum4(Floats a, Floats b, Floats c, Floats d, float* to) {
    vst1q_f32(to, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)));
  }
  SQUEEZE_INLINE void Transpose(Floats (&v)[4]) {
    const float32x4_t ac0 = vzip1q_f32(v[0], v[2]), ac1 = vzip2q_f32(v[0], v[2]);
    const float32x4_t bd0 = vzip1q_f32(v[1], v[3]), bd1 = vzip2q_f32(v[1], v[3]);
    v[0] = vzip1q_f32(ac0, bd0);
    v[1] = vzip2q_f32(ac0, bd0);
    v[2] = vzip1q_f32(ac1, bd1);
    v[3] = vzip2q_f32(ac1, bd1);
  }
};

using Kernels = Dense<Neon>;

}  // namespace

extern const Kernel dense__arm64_neon = {
    "codebook dense__arm64_neon",
    Isa::kArm64Neon,
    Kernels::Supports,
    Kernels::PackedBytes,
    Kernels::Pack,
    Kernels::ScratchBytes,
    Kernels::Run,
};

}  // namespace squeeze::codebook
