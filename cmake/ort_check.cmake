# Compiles base/ort_check.cc, which holds our declarations of ONNX Runtime's interface against the official header.
if(NOT EXISTS "${SQUEEZE_ORT_INCLUDE}/onnxruntime_c_api.h")
  message(FATAL_ERROR "SQUEEZE_ORT_INCLUDE=${SQUEEZE_ORT_INCLUDE}: there is no onnxruntime_c_api.h in this folder; "
                      "give the include/ of a release of ONNX Runtime, 1.17 or newer")
endif()
add_library(squeeze_ort_check OBJECT ${csrc}/base/ort_check.cc)
target_include_directories(squeeze_ort_check PRIVATE ${csrc})
target_include_directories(squeeze_ort_check SYSTEM PRIVATE ${SQUEEZE_ORT_INCLUDE})
