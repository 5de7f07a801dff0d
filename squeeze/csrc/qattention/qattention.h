// QAttention: for one head, queries [s, size], keys [t, size] and values [t, value_size], all
// 8-bit. The contract:
//
//   score[i][j] = float(sum (q[i] - q_zero_point) * (k[j] - k_zero_point)) * score_factor
//                 + mask[i][j]
//   e[i][j]     = exp(score[i][j] - max over j)
//   p[i][j]     = min(round(e[i][j] * (1 / p_scale)), 255): the share of the largest of a query,
//                 which has 1; 0 where all scores of a query are -inf
//   y[i]        = sat(round(float(sum p[i][j] * (v[j] - v_zero_point)) * (y_factor / sum of e[i]))
//                     + y_zero_point)
//
// Sums of integers are int32. e is the polynomial of base/lanes16.h; its sum is kept in 16 places,
// key j in place j % 16, keys in order, and places i and i + 8 are added, then i and i + 4, and so
// on; keys up to the next multiple of 16 count as e^-80. round is half to even, every float
// operation is one rounded float32 operation (no fused multiply-add). All kernels are equal to the
// portable one bit for bit. Every value above is u8; an s8 tensor is its u8 twin XOR 0x80.
//
// This header is also read by files that are compiled for one ISA only: nothing in it may emit code
// of its own.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/isa.h"

namespace squeeze::qattention {

// So that no sum of products leaves int32.
inline constexpr int64_t kMostSummands = 32768;

struct Attention {
  size_t heads, size, value_size;
  uint8_t q_zero_point, k_zero_point, v_zero_point, y_zero_point;
  uint8_t flip;                           // 0x80 where the tensors are s8, else 0
  float score_factor, p_scale, y_factor;  // p_scale * v_scale / y_scale
};

// One head of one sample. Rows of q and k are heads * size apart, those of v and y heads *
// value_size.
struct Head {
  const uint8_t *q, *k, *v;
  uint8_t* y;
  size_t queries, keys;
  const float* mask;
  size_t mask_row_step, mask_key_step;  // 0 or from a query, or a key, to the next
};

struct Kernel {
  const char* name;
  Isa isa;
  size_t (*scratch_bytes)(const Attention&, size_t keys);
  // `scratch` is aligned to kAlignment. There is at least one key.
  void (*run)(const Attention&, const Head&, void* scratch);
};

// All kernels of this build, fastest first; the last one is portable.
extern const Kernel* const kKernels[];
extern const int kKernelCount;

// The first kernel that `isa` may run.
const Kernel& SelectKernel(Isa isa);

}  // namespace squeeze::qattention
