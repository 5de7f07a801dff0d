// The AMX kernels for coded weights on emulated tiles, under other names.
#if defined(__x86_64__)
#define SQUEEZE_EMULATE_AMX
#define dense2__x86_amx emulated2__x86_amx
#define dense4__x86_amx emulated4__x86_amx
#include "qcodebook/dense__x86_amx.cc"
#endif
