// The few symbols of the C++ runtime that we use, on top of libc alone: the library then needs no
// libstdc++, and loads wherever ONNX Runtime does. There are no exceptions here: operator new
// returns memory or ends the process.
#include <stdlib.h>

#include <new>

void* operator new(size_t bytes) {
  void* memory = malloc(bytes ? bytes : 1);
  if (!memory) abort();
  return memory;
}
void operator delete(void* memory) noexcept { free(memory); }
void operator delete(void* memory, size_t) noexcept { free(memory); }
