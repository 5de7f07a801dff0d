#include "qpool/qpool.h"

#define SQUEEZE_OP qpool
#define SQUEEZE_KERNELS "qpool/kernels.inc"
#include "base/select.inc"
