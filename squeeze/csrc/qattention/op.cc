// QAttention as ONNX Runtime sees it.
#include "base/inputs.h"
#include "base/scratch.h"
#include "bytes/bytes.h"
#include "qattention/qattention.h"

namespace squeeze {
namespace qattention {
namespace {

using abi::ElementType;

// The inputs, in order.
enum Input : size_t { kQ = 0, kK = 3, kV = 6, kScoreScale = 9, kMask = 10, kP = 11, kY = 13 };

struct Work {
  const Kernel& kernel;
  const Attention& attention;
  Head first;  // of the first sample
  size_t mask_sample_step, mask_head_step;
  bool out_of_memory;
};

void RunTask(void* user, size_t index) {
  auto& work = *static_cast<Work*>(user);
  const Attention& attention = work.attention;
  const size_t sample = index / attention.heads, at = index % attention.heads;
  const size_t width = attention.heads * attention.size;
  const size_t value_width = attention.heads * attention.value_size;
  Head head = work.first;
  head.q += sample * head.queries * width + at * attention.size;
  head.k += sample * head.keys * width + at * attention.size;
  head.v += sample * head.keys * value_width + at * attention.value_size;
  head.y += sample * head.queries * value_width + at * attention.value_size;
  head.mask += sample * work.mask_sample_step + at * work.mask_head_step;
  const size_t bytes = work.kernel.scratch_bytes(attention, head.keys);
  const bool ran =
      WithScratch(bytes, [&](void* scratch) { work.kernel.run(attention, head, scratch); });
  if (!ran) __atomic_store_n(&work.out_of_memory, true, __ATOMIC_RELAXED);
}

// q, k, v and y each with scale and zero point, score_scale and mask behind v, then those of p.
// Guarded or not, the kernel is the same: what is not guarded says nothing of queries without a
// key.
template <bool kGuarded>
class QAttentionKernel {
 public:
  static constexpr const char* kName = kGuarded ? "QAttentionGuarded" : "QAttention";
  static constexpr size_t kInputCount = 15;
  static constexpr size_t kOutputCount = 1;
  static constexpr size_t kVariantCount = 2;  // u8, s8
  static constexpr ElementType InputType(size_t variant, size_t index) {
    const bool is_real = index == kMask || index == kScoreScale || index == kP || index == kY ||
                         (index < kScoreScale && index % 3 == 1);
    return is_real ? ElementType::kFloat : OutputType(variant, 0);
  }
  static constexpr ElementType OutputType(size_t variant, size_t) {
    return variant ? ElementType::kInt8 : ElementType::kUint8;
  }

  explicit QAttentionKernel(const abi::Api* api) : api_(api) {}

  abi::Status* Initialise(const abi::KernelInfo* info) {
    where_ = Locate(api_, info, kName);
    const Reader read(api_, info, where_.text);
    Quantisation q, k, v, p, y;
    int64_t heads = 0;
    float score_scale = 0;
    SQUEEZE_RETURN_IF_ERROR(ReadHeads(read, &heads));
    SQUEEZE_RETURN_IF_ERROR(read.Quantised(kQ + 1, "q", &q));
    SQUEEZE_RETURN_IF_ERROR(read.Quantised(kK + 1, "k", &k));
    SQUEEZE_RETURN_IF_ERROR(read.Quantised(kV + 1, "v", &v));
    SQUEEZE_RETURN_IF_ERROR(read.Scale(kScoreScale, "score_scale", &score_scale));
    SQUEEZE_RETURN_IF_ERROR(read.Quantised(kP, "p", &p));
    SQUEEZE_RETURN_IF_ERROR(read.Quantised(kY, "y", &y));
    if (p.zero_point) {
      return Fail(api_,
                  "%s: p_zero_point must be the least value of its type, as no probability "
                  "is below 0",
                  where_.text);
    }
    attention_.heads = heads;
    attention_.q_zero_point = q.zero_point, attention_.k_zero_point = k.zero_point;
    attention_.v_zero_point = v.zero_point, attention_.y_zero_point = y.zero_point;
    attention_.flip = y.is_signed ? kSignBit : 0;
    attention_.score_factor = q.scale * k.scale * score_scale;
    attention_.p_scale = p.scale;
    attention_.y_factor = p.scale * v.scale / y.scale;
    kernel_ = &SelectKernel(KernelIsa());
    return nullptr;
  }

  abi::Status* Compute(abi::KernelContext* context) const {
    Tensor q, k, v, mask;
    SQUEEZE_RETURN_IF_ERROR(ReadInput(api_, context, where_.text, kQ, &q));
    SQUEEZE_RETURN_IF_ERROR(ReadInput(api_, context, where_.text, kK, &k));
    SQUEEZE_RETURN_IF_ERROR(ReadInput(api_, context, where_.text, kV, &v));
    SQUEEZE_RETURN_IF_ERROR(ReadInput(api_, context, where_.text, kMask, &mask));
    Attention attention = attention_;
    SQUEEZE_RETURN_IF_ERROR(ReadShapes(q, k, v, &attention));
    Tensor y = q;
    y.dims[2] = v.dims[2];
    Work work = {*kernel_, attention, {}, 0, 0, false};
    Head& head = work.first;
    head.queries = q.dims[1], head.keys = k.dims[1];
    SQUEEZE_RETURN_IF_ERROR(ReadMask(mask, q.dims[0], &work));
    SQUEEZE_RETURN_IF_ERROR(MakeOutput(api_, context, &y));
    head.q = q.As<uint8_t>(), head.k = k.As<uint8_t>(), head.v = v.As<uint8_t>();
    head.y = static_cast<uint8_t*>(y.data);
    if (!y.Count()) return nullptr;
    if (!head.keys) return Fail(api_, "%s: there are no keys", where_.text);
    const size_t tasks = q.dims[0] * attention.heads;
    if (tasks == 1) {
      RunTask(&work, 0);
    } else {
      SQUEEZE_RETURN_IF_ERROR(abi::kParallelFor(api_, context, RunTask, tasks, 0, &work));
    }
    return work.out_of_memory ? Fail(api_, "%s: out of memory", where_.text) : nullptr;
  }

 private:
  // Attribute split: what Reshape makes of [b, length, heads * size].
  abi::Status* ReadHeads(const Reader& read, int64_t* heads) const {
    int64_t split[4];
    SQUEEZE_RETURN_IF_ERROR(read.Ints("split", split, 4));
    *heads = split[2];
    if (!split[0] && !split[1] && *heads >= 1 && *heads <= kMaxSize && split[3] == -1) {
      return nullptr;
    }
    return Fail(api_,
                "%s: attribute split is [%lld, %lld, %lld, %lld], expected [0, 0, heads, -1] with "
                "heads from 1 to %lld",
                where_.text, static_cast<long long>(split[0]), static_cast<long long>(split[1]),
                static_cast<long long>(split[2]), static_cast<long long>(split[3]),
                static_cast<long long>(kMaxSize));
  }

  abi::Status* ReadShapes(const Tensor& q, const Tensor& k, const Tensor& v,
                          Attention* attention) const {
    const auto heads = static_cast<int64_t>(attention->heads);
    const bool fits = q.rank == 3 && k.rank == 3 && v.rank == 3 && k.dims[0] == q.dims[0] &&
                      v.dims[0] == q.dims[0] && v.dims[1] == k.dims[1] && k.dims[2] == q.dims[2] &&
                      q.dims[2] % heads == 0 && v.dims[2] % heads == 0 && q.dims[2] && v.dims[2];
    if (!fits) {
      return Fail(api_,
                  "%s: q, k and v are %s, %s and %s, expected [b, s, n], [b, t, n] and [b, t, m] "
                  "with n and m multiples of %lld heads",
                  where_.text, ShapeOf(q).text, ShapeOf(k).text, ShapeOf(v).text,
                  static_cast<long long>(heads));
    }
    attention->size = q.dims[2] / heads;
    attention->value_size = v.dims[2] / heads;
    if (q.dims[2] / heads <= kMostSummands && k.dims[1] <= kMostSummands) return nullptr;
    return Fail(api_, "%s: %lld keys of %lld numbers for each head, at most %lld of both fit",
                where_.text, static_cast<long long>(k.dims[1]),
                static_cast<long long>(q.dims[2] / heads), static_cast<long long>(kMostSummands));
  }

  abi::Status* ReadMask(const Tensor& mask, int64_t samples, Work* work) const {
    Head& head = work->first;
    int64_t dims[4] = {1, 1, 1, 1};  // sample, head, query, key
    for (size_t i = 0; mask.rank <= 4 && i < mask.rank; ++i) {
      dims[4 - mask.rank + i] = mask.dims[i];
    }
    const int64_t all[4] = {samples, static_cast<int64_t>(work->attention.heads),
                            static_cast<int64_t>(head.queries), static_cast<int64_t>(head.keys)};
    bool fits = mask.rank <= 4;
    for (size_t i = 0; i < 4; ++i) fits = fits && (dims[i] == 1 || dims[i] == all[i]);
    if (!fits) {
      return Fail(api_,
                  "%s: input mask is %s, expected [%lld or 1, %lld or 1, %lld or 1, %lld or 1]",
                  where_.text, ShapeOf(mask).text, static_cast<long long>(all[0]),
                  static_cast<long long>(all[1]), static_cast<long long>(all[2]),
                  static_cast<long long>(all[3]));
    }
    head.mask = mask.As<float>();
    head.mask_key_step = dims[3] > 1 ? 1 : 0;
    head.mask_row_step = dims[2] > 1 ? dims[3] : 0;
    work->mask_head_step = dims[1] > 1 ? dims[2] * dims[3] : 0;
    work->mask_sample_step = dims[0] > 1 ? dims[1] * dims[2] * dims[3] : 0;
    return nullptr;
  }

  const abi::Api* api_;
  Where where_;
  Attention attention_ = {};
  const Kernel* kernel_;
};

}  // namespace
}  // namespace qattention

OpList QAttention() { return Variants<qattention::QAttentionKernel<false>>::kList; }
OpList QAttentionGuarded() { return Variants<qattention::QAttentionKernel<true>>::kList; }

}  // namespace squeeze
