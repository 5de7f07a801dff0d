#include "qattention/qattention.h"

#define SQUEEZE_OP qattention
#define SQUEEZE_KERNELS "qattention/kernels.inc"
#include "base/select.inc"
