#include "codebookgather/codebookgather.h"

#define SQUEEZE_OP codebookgather
#define SQUEEZE_KERNELS "codebookgather/kernels.inc"
#include "base/select.inc"
