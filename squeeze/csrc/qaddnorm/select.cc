#include "qaddnorm/qaddnorm.h"

#define SQUEEZE_OP qaddnorm
#define SQUEEZE_KERNELS "qaddnorm/kernels.inc"
#include "base/select.inc"
