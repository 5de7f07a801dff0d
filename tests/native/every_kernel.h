// Random cases for every kernel of a kind.
#pragma once

#include <stdio.h>

#include "base/kernel.h"
#include "native/guarded.h"

namespace squeeze::native {

// same(kernel, portable, random) for `cases` random cases of each of the `count` kernels that
// this CPU has; the last one is the portable one. False where one of them was.
template <typename Kernel, typename Same>
bool TestEveryKernel(const Kernel* const* kernels, int count, int cases, const Same& same) {
  const Isa isa = DetectIsa();
  bool ok = true;
  for (int i = 0; i < count; ++i) {
    if (kernels[i]->isa > isa) {
      printf("skipped %s: this CPU has only %s\n", kernels[i]->name,
             kIsaNames[static_cast<int>(isa)]);
      continue;
    }
    Random random(7);
    int failed = 0;
    for (int k = 0; k < cases; ++k) failed += !same(*kernels[i], *kernels[count - 1], random);
    printf("%s %s: %d cases, %d failed\n", failed ? "FAILED" : "ok", kernels[i]->name, cases,
           failed);
    ok = ok && !failed;
  }
  return ok;
}

}  // namespace squeeze::native
