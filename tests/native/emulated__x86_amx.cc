// The AMX kernel on emulated tiles, under another name: it is then tested where there are no tiles.
#if defined(__x86_64__)
#define SQUEEZE_EMULATE_AMX
#define dense__x86_amx emulated__x86_amx
#include "product/dense__x86_amx.cc"
#endif
