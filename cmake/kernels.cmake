# The file name of a kernel is its ISA: <what>__<isa>.cc is compiled with the flags of <isa>, on its architecture only.
set(SQUEEZE_FLAGS_x86_avx2 -mavx2 -mfma)
set(SQUEEZE_FLAGS_arm64_neon "")  # what every 64-bit Arm has
set(SQUEEZE_FLAGS_arm64_dotprod -march=armv8.2-a+dotprod)
set(SQUEEZE_FLAGS_arm64_i8mm -march=armv8.2-a+dotprod+i8mm)
set(SQUEEZE_FLAGS_x86_avx512vnni
    -mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx512vbmi -mavx512vnni
    # GCC 12 warns about its own header's deliberately undefined vectors (fixed in GCC 13).
    -Wno-maybe-uninitialized -Wno-uninitialized)
set(SQUEEZE_FLAGS_x86_amx ${SQUEEZE_FLAGS_x86_avx512vnni} -mamx-tile -mamx-int8)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set(squeeze_arch x86)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(squeeze_arch arm64)
endif()

# Drops kernels of other architectures from the list `sources_name`, and gives the others their flags.
function(squeeze_set_isa_flags sources_name)
  set(kept)
  foreach(source IN LISTS ${sources_name})
    get_filename_component(name ${source} NAME_WE)
    if(NOT name MATCHES "__((x86|arm64)_[a-z0-9]+)$")
      list(APPEND kept ${source})
      continue()
    endif()
    set(isa ${CMAKE_MATCH_1})
    if(NOT isa MATCHES "^${squeeze_arch}_")
      continue()
    endif()
    if(NOT DEFINED SQUEEZE_FLAGS_${isa})
      message(FATAL_ERROR "${source}: no flags for the ISA ${isa} in cmake/kernels.cmake")
    endif()
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${SQUEEZE_FLAGS_${isa}}")
    list(APPEND kept ${source})
  endforeach()
  set(${sources_name} ${kept} PARENT_SCOPE)
endfunction()
