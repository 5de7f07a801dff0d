#include "qadd/qadd.h"

#define SQUEEZE_OP qadd
#define SQUEEZE_KERNELS "qadd/kernels.inc"
#include "base/select.inc"
