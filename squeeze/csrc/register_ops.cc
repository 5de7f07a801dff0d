// The one exported function: puts the ops of the domain ai.squeeze into a session's options.
#include <stdlib.h>

#include <atomic>

#include "base/isa.h"
#include "base/ort_abi.h"
#include "base/ort_glue.h"

namespace squeeze {

#define SQUEEZE_OP(name) OpList name();
#include "ops.inc"
#undef SQUEEZE_OP

namespace {

abi::Status* Add(const abi::Api* api, abi::CustomOpDomain* domain, const OpList& list) {
  for (size_t i = 0; i < list.count; ++i) {
    SQUEEZE_RETURN_IF_ERROR(abi::kCustomOpDomainAdd(api, domain, list.ops[i]));
  }
  return nullptr;
}

abi::Status* Register(abi::SessionOptions* options, const abi::ApiBase* base) {
  const abi::Api* api = base->get_api(abi::kApiVersion);
  if (!api) {
    // Saying success would let the bodies run in silence. The status interface is older than any
    // version number.
    const abi::Api* oldest = base->get_api(1);
    return oldest ? Fail(oldest, "ai.squeeze: needs ONNX Runtime 1.%u or newer, this is %s",
                         abi::kApiVersion, base->get_version_string())
                  : nullptr;
  }
  Isa isa;
  if (!SelectIsa(&isa)) {
    return Fail(api, "ai.squeeze: SQUEEZE_ISA=%s is no cluster of this architecture; known: %s",
                getenv("SQUEEZE_ISA"), kIsaNamesHere);
  }
  // With the portable kernels alone the runtime's own are faster, and the bodies reach them.
  // Whoever names a cluster gets it: tests do.
  const char* named = getenv("SQUEEZE_ISA");
  if (isa == Isa::kPortable && (!named || !*named)) return nullptr;
  // One domain for all sessions: ops and domain have to outlive every one of them.
  static std::atomic<abi::CustomOpDomain*> shared = nullptr;
  abi::CustomOpDomain* domain = shared.load();
  if (!domain) {
    abi::CustomOpDomain* made = nullptr;
    SQUEEZE_RETURN_IF_ERROR(abi::kCreateCustomOpDomain(api, "ai.squeeze", &made));
#define SQUEEZE_OP(name) SQUEEZE_RETURN_IF_ERROR(Add(api, made, name()));
#include "ops.inc"
#undef SQUEEZE_OP
    if (shared.compare_exchange_strong(domain, made)) {
      domain = made;
    } else {  // another thread was first
      abi::kReleaseCustomOpDomain(api, made);
    }
  }
  return abi::kAddCustomOpDomain(api, options, domain);
}

}  // namespace
}  // namespace squeeze

extern "C" __attribute__((visibility("default"))) squeeze::abi::Status* RegisterCustomOps(
    squeeze::abi::SessionOptions* options, const squeeze::abi::ApiBase* base) {
  return squeeze::Register(options, base);
}
