#include "lsq/lsq.h"

#define SQUEEZE_OP lsq
#define SQUEEZE_KERNELS "lsq/kernels.inc"
#include "base/select.inc"
