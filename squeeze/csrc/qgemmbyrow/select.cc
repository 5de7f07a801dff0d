#include "qgemmbyrow/qgemmbyrow.h"

#define SQUEEZE_OP qgemmbyrow
#define SQUEEZE_KERNELS "qgemmbyrow/kernels.inc"
#include "base/select.inc"
