#include "qpool/order.h"

#include <string.h>

namespace squeeze::qpool {

abi::Status* ReadOrder(const Reader& read, const char* name, bool is_output, size_t rank,
                       bool* channels_last) {
  constexpr int64_t kChannelsFirst[] = {0, 1, 2, 3};
  constexpr int64_t kFromLast[] = {0, 3, 1, 2}, kToLast[] = {0, 2, 3, 1}, kRank3[] = {0, 2, 1};
  const int64_t* last = rank == 3 ? kRank3 : is_output ? kToLast : kFromLast;
  int64_t perm[4];
  SQUEEZE_RETURN_IF_ERROR(read.Ints(name, perm, rank));
  *channels_last = memcmp(perm, last, rank * sizeof *perm) == 0;
  if (*channels_last || memcmp(perm, kChannelsFirst, rank * sizeof *perm) == 0) return nullptr;
  const char* allowed = rank == 3   ? "[0, 1, 2] or [0, 2, 1]"
                        : is_output ? "[0, 1, 2, 3] or [0, 2, 3, 1]"
                                    : "[0, 1, 2, 3] or [0, 3, 1, 2]";
  return Fail(read.api(), "%s: attribute %s must be %s", read.where(), name, allowed);
}

}  // namespace squeeze::qpool
