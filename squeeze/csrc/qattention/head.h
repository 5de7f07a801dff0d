// One head of QAttention, for a kernel file's way to multiply: a class `Products` with
//   using X, W;                    of the left and of the right operand: u8 and s8, or wider
//   static constexpr size_t kStep; how many of each are multiplied and added at once
//   static void Dot(const X* x, size_t pitch, const W* w, size_t steps, int32_t* sums);
//     sums [kRows][16] of x [kRows][steps * kStep], rows `pitch` apart, and of w [steps][16][kStep]
//
// Keys and values are laid out for Dot once. Then kRows queries at a time go all the way: scores,
// softmax and products with the values stay in the first-level cache.
#pragma once

#include <math.h>

#include "base/lanes16.h"
#include "qattention/qattention.h"

namespace squeeze::qattention {
namespace {

constexpr size_t kRows = 8;

SQUEEZE_INLINE size_t Steps(size_t count, size_t step) { return (count + step - 1) / step; }

// What a task keeps in its scratch.
template <typename Products>
struct Plan {
  using X = typename Products::X;
  using W = typename Products::W;
  static constexpr size_t kStep = Products::kStep;

  size_t key_groups, value_groups;  // of 16 keys, of 16 numbers of a value
  size_t size_steps, key_steps;     // of kStep numbers of a key, of kStep keys
  W *keys, *values;            // [key_groups][size_steps][16][kStep], [value_groups][key_steps]..
  int32_t* key_terms;          // [key_groups * 16]
  X *queries, *probabilities;  // [kRows][size_steps * kStep], [kRows][key_steps * kStep]
  float* scores;               // [kRows][key_groups * 16]
  size_t bytes;

  Plan(const Attention& attention, size_t key_count, void* scratch)
      : key_groups(Steps(key_count, kLanes16)),
        value_groups(Steps(attention.value_size, kLanes16)),
        size_steps(Steps(attention.size, kStep)),
        key_steps(key_groups * kLanes16 / kStep),
        bytes(0) {
    auto* base = static_cast<uint8_t*>(scratch);
    const auto take = [&](size_t count, auto** to) {
      *to = reinterpret_cast<decltype(*to + 0)>(base + bytes);
      bytes += Steps(count * sizeof **to, kAlignment) * kAlignment;
    };
    take(key_groups * size_steps * kLanes16 * kStep, &keys);
    take(value_groups * key_steps * kLanes16 * kStep, &values);
    take(key_groups * kLanes16, &key_terms);
    take(kRows * size_steps * kStep, &queries);
    take(kRows * key_steps * kStep, &probabilities);
    take(kRows * key_groups * kLanes16, &scores);
  }
};

template <typename Products>
size_t ScratchBytes(const Attention& attention, size_t keys) {
  return Plan<Products>(attention, keys, nullptr).bytes;
}

// `size` bytes XOR `turn`, as numbers of the type To, which follow each other by kStep, or, where
// they lie apart, `pitch` bytes from one run of kStep to the next. The last run is filled up with
// 0.
template <size_t kStep, typename To, typename Byte>
SQUEEZE_INLINE void LayRow(const uint8_t* __restrict from, size_t size, uint8_t turn, size_t pitch,
                           uint8_t* __restrict to) {
  static_assert(kStep * sizeof(To) == 4);
  const auto lay = [&](const uint8_t* run, uint8_t* at) {
    if constexpr (sizeof(To) == 1) {
      uint32_t word;
      memcpy(&word, run, sizeof word);
      word ^= turn * 0x01010101u;
      memcpy(at, &word, sizeof word);
    } else {
      To numbers[kStep];
      for (size_t n = 0; n < kStep; ++n) numbers[n] = static_cast<Byte>(run[n] ^ turn);
      memcpy(at, numbers, sizeof numbers);
    }
  };
  size_t i = 0;
  for (; i + kStep <= size; i += kStep, to += pitch) lay(from + i, to);
  if (i == size) return;
  uint8_t rest[kStep];
  memset(rest, turn, sizeof rest);  // which XOR `turn` is 0
  memcpy(rest, from + i, size - i);
  lay(rest, to);
}

// Keys as s8, [group][step][16 keys][kStep], and for each key what is added to its products with
// the raw queries: size * zero points - q_zero_point * sum of the key.
template <typename Products>
void LayKeys(const Attention& attention, const Head& head, const Plan<Products>& plan) {
  using W = typename Products::W;
  constexpr size_t kStep = Products::kStep, kPitch = kLanes16 * kStep * sizeof(W);
  const size_t size = attention.size, pitch = attention.heads * size, steps = plan.size_steps;
  const size_t group_bytes = steps * kPitch;
  const uint8_t turn = attention.flip ^ 0x80;
  auto* keys = reinterpret_cast<uint8_t*>(plan.keys);
  const size_t unused = plan.key_groups * kLanes16 - head.keys;
  if (unused) memset(keys + (plan.key_groups - 1) * group_bytes, 0, group_bytes);
  for (size_t j = 0; j < head.keys; ++j) {
    uint8_t* to = keys + j / kLanes16 * group_bytes + j % kLanes16 * kStep * sizeof(W);
    LayRow<kStep, W, int8_t>(head.k + j * pitch, size, turn, kPitch, to);
  }
  const int32_t zero = attention.k_zero_point - 128, q_zero = attention.q_zero_point;
  const Ints both = AllInts(static_cast<int32_t>(size) * q_zero * zero);
  // Sums of keys are products with ones.
  const size_t width = steps * kStep;
  memset(plan.queries, 0, kRows * width * sizeof *plan.queries);
  for (size_t i = 0; i < size; ++i) plan.queries[i] = 1;
  alignas(kAlignment) int32_t sums[kRows * kLanes16];
  for (size_t g = 0; g < plan.key_groups; ++g) {
    const W* group = plan.keys + g * steps * kLanes16 * kStep;
    Products::Dot(plan.queries, width, group, steps, sums);
    StoreInts(both - LoadInts(sums) * AllInts(q_zero), plan.key_terms + g * kLanes16);
  }
}

// Values as s8, [group of 16 numbers][step][16 numbers][kStep keys]: a step of a number is 32 bits.
template <typename Products>
void LayValues(const Attention& attention, const Head& head, const Plan<Products>& plan) {
  using W = typename Products::W;
  constexpr size_t kStep = Products::kStep;
  constexpr int kBits = 8 * sizeof(W);
  static_assert(kStep * kBits == 32);
  const size_t size = attention.value_size, pitch = attention.heads * size;
  const Ints turn = AllInts(attention.flip ? 0 : -128);  // of a number with its sign extended
  for (size_t g = 0; g < plan.value_groups; ++g) {
    const size_t first = g * kLanes16, left = size - first;
    const size_t count = left < kLanes16 ? left : kLanes16;
    for (size_t step = 0; step < plan.key_steps; ++step) {
      Ints words = AllInts(0);
      for (size_t n = 0; n < kStep && step * kStep + n < head.keys; ++n) {
        const uint8_t* from = head.v + (step * kStep + n) * pitch + first;
        int8_t row[kLanes16] = {};
        if (count == kLanes16) {
          memcpy(row, from, kLanes16);
        } else {
          memcpy(row, from, count);
        }
        // Turning the sign bit of a byte turns all bits above it once the sign is extended.
        const Ints wide = LoadWide(row) ^ turn;
        words = words | ((wide & AllInts((1u << kBits) - 1)) << (n * kBits));
      }
      W* to = plan.values + (g * plan.key_steps + step) * kLanes16 * kStep;
      StoreInts(words, reinterpret_cast<int32_t*>(to));
    }
  }
}

// Queries `first` .. first + rows - 1, and what is added to each of their products.
template <typename Products>
SQUEEZE_INLINE void LayQueries(const Attention& attention, const Head& head,
                               const Plan<Products>& plan, size_t first, size_t rows,
                               int32_t* terms) {
  using X = typename Products::X;
  constexpr size_t kStep = Products::kStep;
  const size_t size = attention.size, width = plan.size_steps * kStep;
  const uint8_t flip = attention.flip;
  if (rows < kRows) memset(plan.queries, 0, kRows * width * sizeof(X));
  const int32_t factor = 128 - attention.k_zero_point;
  for (size_t r = 0; r < rows; ++r) {
    const uint8_t* __restrict query = head.q + (first + r) * attention.heads * size;
    auto* to = reinterpret_cast<uint8_t*>(plan.queries + r * width);
    LayRow<kStep, X, uint8_t>(query, size, flip, kStep * sizeof(X), to);
    int32_t sum = 0;
    if (factor) {
      for (size_t i = 0; i < size; ++i) sum += query[i] ^ flip;
    }
    terms[r] = factor * sum;
  }
}

// Scores of `rows` queries, and the largest of each.
template <typename Products>
SQUEEZE_INLINE void Scores(const Attention& attention, const Head& head, const Plan<Products>& plan,
                           size_t first, size_t rows, float* largest) {
  int32_t terms[kRows];
  LayQueries(attention, head, plan, first, rows, terms);
  const Floats factor = All(attention.score_factor);
  const size_t pitch = plan.key_groups * kLanes16;
  alignas(kAlignment) int32_t sums[kRows * kLanes16];
  Floats most[kRows];
  for (size_t r = 0; r < kRows; ++r) most[r] = All(-INFINITY);
  for (size_t g = 0; g < plan.key_groups; ++g) {
    const size_t at = g * kLanes16;
    Products::Dot(plan.queries, plan.size_steps * Products::kStep,
                  plan.keys + at * plan.size_steps * Products::kStep, plan.size_steps, sums);
    const Ints key_terms = LoadInts(plan.key_terms + at);
    const size_t count = head.keys - at < kLanes16 ? head.keys - at : kLanes16;
    for (size_t r = 0; r < rows; ++r) {
      const Ints dots = LoadInts(sums + r * kLanes16) + (key_terms + AllInts(terms[r]));
      const float* mask = head.mask + (first + r) * head.mask_row_step + at * head.mask_key_step;
      const Floats added = !head.mask_key_step ? All(*mask)
                           : count == kLanes16 ? Load16(mask)
                                               : LoadSome(mask, count);
      Floats score = ToFloats(dots) * factor + added;
      float* to = plan.scores + r * pitch + at;
      Store16(score, to);
      if (count < kLanes16) {
        for (size_t i = count; i < kLanes16; ++i) to[i] = -INFINITY;
        score = Load16(to);
      }
      most[r] = Max(most[r], score);
    }
  }
  for (size_t r = 0; r < rows; ++r) largest[r] = Largest(most[r]);
}

// Scores of `rows` queries become bytes, whose sums are `sums`; `totals` are those of what the
// bytes stand for. All rows go through each pass, so that what follows from a whole row, which
// takes long, is not waited for.
template <typename Products>
SQUEEZE_INLINE void Softmax(const Attention& attention, const Plan<Products>& plan, size_t keys,
                            size_t rows, const float* largest, int32_t* sums, float* totals) {
  const size_t groups = plan.key_groups, width = groups * kLanes16;
  for (size_t r = 0; r < rows; ++r) {
    float* scores = plan.scores + r * width;
    const Floats most = All(largest[r]);
    Floats total = All(0);
    for (size_t g = 0; g < groups; ++g) {
      const Floats e = Exp(Load16(scores + g * kLanes16) - most);
      Store16(e, scores + g * kLanes16);
      total = total + e;
    }
    totals[r] = Sum(total);
  }
  const Floats limit = All(255);
  const float steps = 1.0f / attention.p_scale;
  const size_t whole = keys / kLanes16, left = keys % kLanes16;
  for (size_t r = 0; r < rows; ++r) {
    const float* scores = plan.scores + r * width;
    auto* probabilities = plan.probabilities + r * width;
    const Floats factor = All(largest[r] == -INFINITY ? 0.0f : steps);
    Ints total = AllInts(0);
    for (size_t g = 0; g < whole; ++g) {
      const Ints p = RoundToInts(Min(Load16(scores + g * kLanes16) * factor, limit));
      total = total + p;
      StoreNarrow(p, probabilities + g * kLanes16);
    }
    if (left) {
      Floats p = Min(Load16(scores + whole * kLanes16) * factor, limit);
      float lane[kLanes16];
      Store16(p, lane);
      const Ints last = RoundToInts(LoadSome(lane, left));
      total = total + last;
      StoreNarrow(last, probabilities + whole * kLanes16);
    }
    sums[r] = static_cast<int32_t>(Sum(ToFloats(total)));  // below 2^24: exact
  }
}

template <typename Products>
void Run(const Attention& attention, const Head& head, void* scratch) {
  const Plan<Products> plan(attention, head.keys, scratch);
  LayKeys(attention, head, plan);
  LayValues(attention, head, plan);
  const ByteRange range = MakeByteRange(attention.y_zero_point, attention.flip);
  const size_t row_bytes = attention.heads * attention.value_size;
  const size_t width = plan.key_groups * kLanes16;
  memset(plan.probabilities, 0, kRows * width * sizeof *plan.probabilities);
  for (size_t first = 0; first < head.queries; first += kRows) {
    const size_t left = head.queries - first, rows = left < kRows ? left : kRows;
    float largest[kRows], totals[kRows];
    int32_t terms[kRows];
    Scores(attention, head, plan, first, rows, largest);
    Softmax(attention, plan, head.keys, rows, largest, terms, totals);
    for (size_t r = 0; r < rows; ++r) {
      terms[r] *= 128 - attention.v_zero_point;
      totals[r] = attention.y_factor / totals[r];
    }
    alignas(kAlignment) int32_t sums[kRows * kLanes16];
    for (size_t g = 0; g < plan.value_groups; ++g) {
      Products::Dot(plan.probabilities, width,
                    plan.values + g * plan.key_steps * kLanes16 * Products::kStep, plan.key_steps,
                    sums);
      const size_t at = g * kLanes16;
      for (size_t r = 0; r < rows; ++r) {
        const Ints total = LoadInts(sums + r * kLanes16) + AllInts(terms[r]);
        StoreBytes(ToFloats(total) * All(totals[r]), range, attention.value_size - at,
                   head.y + (first + r) * row_bytes + at);
      }
    }
  }
}

}  // namespace
}  // namespace squeeze::qattention
