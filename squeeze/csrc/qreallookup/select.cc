#include "qreallookup/qreallookup.h"

#define SQUEEZE_OP qreallookup
#define SQUEEZE_KERNELS "qreallookup/kernels.inc"
#include "base/select.inc"
