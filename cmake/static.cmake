# libsqueeze_ops.a, to be linked into an app: one object in which RegisterCustomOps is the only global name, so that
# neither our operator new nor anything else of ours meets the app's own. Apps don't train.
set(objects $<FILTER:$<TARGET_OBJECTS:squeeze_objects>,EXCLUDE,/csrc/lsq/>)
set(joined ${CMAKE_CURRENT_BINARY_DIR}/squeeze_ops.o)
set(archive ${CMAKE_CURRENT_BINARY_DIR}/libsqueeze_ops.a)
set(target_flags ${CMAKE_CXX_FLAGS})
separate_arguments(target_flags)
if(CMAKE_CXX_COMPILER_TARGET)
  list(APPEND target_flags --target=${CMAKE_CXX_COMPILER_TARGET})
endif()
if(APPLE)
  # Names of hidden visibility become local in a relocatable link.
  foreach(arch IN LISTS CMAKE_OSX_ARCHITECTURES)
    list(APPEND target_flags -arch ${arch})
  endforeach()
  if(CMAKE_OSX_SYSROOT)
    list(APPEND target_flags -isysroot ${CMAKE_OSX_SYSROOT})
  endif()
  set(make_local ${CMAKE_COMMAND} -E true)
else()
  if(NOT CMAKE_OBJCOPY)
    message(FATAL_ERROR "SQUEEZE_STATIC=ON needs objcopy (binutils, or llvm-objcopy of the NDK); give -DCMAKE_OBJCOPY=")
  endif()
  set(make_local ${CMAKE_OBJCOPY} --keep-global-symbol=RegisterCustomOps ${joined})
endif()
add_custom_command(
  OUTPUT ${archive}
  COMMAND ${CMAKE_CXX_COMPILER} ${target_flags} -r -nostdlib -o ${joined} ${objects}
  COMMAND ${make_local}
  COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
  COMMAND ${CMAKE_AR} rcs ${archive} ${joined}
  DEPENDS squeeze_objects ${objects}
  COMMAND_EXPAND_LISTS VERBATIM)
add_custom_target(squeeze_ops_static ALL DEPENDS ${archive})
if(NOT SKBUILD)
  install(FILES ${archive} DESTINATION lib)
endif()
