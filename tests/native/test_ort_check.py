"""base/ort_check.cc compares our view of ONNX Runtime's interface with a header. Here with a small one of our own,
which holds the functions that we call at the places where runtimes have them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "squeeze" / "csrc"

# Place, name, result, arguments: as runtimes from 1.17.3 to 1.31.1 were seen to take them.
API: list[tuple[int, str, str, str]] = [
    (0, "CreateStatus", "OrtStatus*", "OrtErrorCode, const char*"),
    (26, "CreateCustomOpDomain", "OrtStatus*", "const char*, OrtCustomOpDomain**"),
    (27, "CustomOpDomain_Add", "OrtStatus*", "OrtCustomOpDomain*, const OrtCustomOp*"),
    (28, "AddCustomOpDomain", "OrtStatus*", "OrtSessionOptions*, OrtCustomOpDomain*"),
    (51, "GetTensorMutableData", "OrtStatus*", "OrtValue*, void**"),
    (60, "GetTensorElementType", "OrtStatus*", "const OrtShape*, ElementType*"),
    (61, "GetDimensionsCount", "OrtStatus*", "const OrtShape*, size_t*"),
    (62, "GetDimensions", "OrtStatus*", "const OrtShape*, int64_t*, size_t"),
    (65, "GetTensorTypeAndShape", "OrtStatus*", "const OrtValue*, OrtShape**"),
    (85, "KernelInfoGetAttribute_float", "OrtStatus*", "const OrtInfo*, const char*, float*"),
    (86, "KernelInfoGetAttribute_int64", "OrtStatus*", "const OrtInfo*, const char*, int64_t*"),
    (90, "KernelContext_GetInput", "OrtStatus*", "const OrtContext*, size_t, const OrtValue**"),
    (
        91,
        "KernelContext_GetOutput",
        "OrtStatus*",
        "OrtContext*, size_t, const int64_t*, size_t, OrtValue**",
    ),
    (93, "ReleaseStatus", "void", "OrtStatus*"),
    (99, "ReleaseTensorTypeAndShapeInfo", "void", "OrtShape*"),
    (101, "ReleaseCustomOpDomain", "void", "OrtCustomOpDomain*"),
    (
        163,
        "KernelInfoGetAttributeArray_int64",
        "OrtStatus*",
        "const OrtInfo*, const char*, int64_t*, size_t*",
    ),
    (244, "KernelInfo_GetNodeName", "OrtStatus*", "const OrtInfo*, char*, size_t*"),
    (
        249,
        "KernelInfoGetConstantInput_tensor",
        "OrtStatus*",
        "const OrtInfo*, size_t, int*, const OrtValue**",
    ),
    (
        274,
        "KernelContext_ParallelFor",
        "OrtStatus*",
        "const OrtContext*, void (*)(void*, size_t), size_t, size_t, void*",
    ),
]

OP: list[tuple[str, str, str]] = [
    ("CreateKernel", "void*", "const OrtCustomOp*, const OrtApi*, const OrtInfo*"),
    ("GetName", "const char*", "const OrtCustomOp*"),
    ("GetExecutionProviderType", "const char*", "const OrtCustomOp*"),
    ("GetInputType", "ElementType", "const OrtCustomOp*, size_t"),
    ("GetInputTypeCount", "size_t", "const OrtCustomOp*"),
    ("GetOutputType", "ElementType", "const OrtCustomOp*, size_t"),
    ("GetOutputTypeCount", "size_t", "const OrtCustomOp*"),
    ("KernelCompute", "void", "void*, OrtContext*"),
    ("KernelDestroy", "void", "void*"),
    ("GetInputCharacteristic", "Characteristic", "const OrtCustomOp*, size_t"),
    ("GetOutputCharacteristic", "Characteristic", "const OrtCustomOp*, size_t"),
    ("GetInputMemoryType", "OrtMemType", "const OrtCustomOp*, size_t"),
    ("GetVariadicInputMinArity", "int", "const OrtCustomOp*"),
    ("GetVariadicInputHomogeneity", "int", "const OrtCustomOp*"),
    ("GetVariadicOutputMinArity", "int", "const OrtCustomOp*"),
    ("GetVariadicOutputHomogeneity", "int", "const OrtCustomOp*"),
    (
        "CreateKernelV2",
        "OrtStatus*",
        "const OrtCustomOp*, const OrtApi*, const OrtInfo*, void**",
    ),
    ("KernelComputeV2", "OrtStatus*", "void*, OrtContext*"),
    ("InferOutputShapeFn", "OrtStatus*", "const OrtCustomOp*, OrtShapeContext*"),
    ("GetStartVersion", "int", "const OrtCustomOp*"),
    ("GetEndVersion", "int", "const OrtCustomOp*"),
    ("GetMayInplace", "size_t", "int**, int**"),
]

HEAD = """
#pragma once
#include <stddef.h>
#include <stdint.h>
#define ORT_API_VERSION 17
struct OrtApi; struct OrtContext {}; struct OrtCustomOp; struct OrtCustomOpDomain {}; struct OrtInfo {};
struct OrtSessionOptions {}; struct OrtShape {}; struct OrtShapeContext {}; struct OrtStatus {}; struct OrtValue {};
enum OrtErrorCode { ORT_OK, ORT_FAIL, ORT_INVALID_ARGUMENT, ORT_RUNTIME_EXCEPTION = 6 };
enum ElementType {
  ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
  ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32 = 6, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64
};
enum Characteristic { INPUT_OUTPUT_REQUIRED, INPUT_OUTPUT_OPTIONAL };
enum OrtMemType { OrtMemTypeCPUInput = -2, OrtMemTypeDefault = 0 };
struct OrtApiBase { const OrtApi* (*GetApi)(uint32_t) noexcept; const char* (*GetVersionString)() noexcept; };
"""


def header(api: list[tuple[int, str, str, str]] = API, op: list[tuple[str, str, str]] = OP) -> str:
    lines = [HEAD, "struct OrtApi {"]
    at = 0
    for slot, name, result, arguments in sorted(api):
        if slot > at:
            lines.append(f"  void* before_{name}[{slot - at}];")
        must_use = "" if result == "void" else " __attribute__((warn_unused_result))"
        lines.append(f"  {result} (*{name})({arguments}) noexcept{must_use};")
        at = slot + 1
    lines += ["};", "struct OrtCustomOp {", "  uint32_t version;"]
    lines += [f"  {result} (*{name})({arguments});" for name, result, arguments in op]
    return "\n".join([*lines, "};", ""])


def compile_check(folder: Path, text: str) -> tuple[bool, str]:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed")
    (folder / "onnxruntime_c_api.h").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            *[compiler, "-std=c++20", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"],
            *["-I", CSRC, "-I", folder, CSRC / "base" / "ort_check.cc"],
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0, done.stderr


def test_every_entry_and_value_that_we_declare_is_checked() -> None:
    ours = (CSRC / "base" / "ort_abi.h").read_text(encoding="utf-8")
    check = (CSRC / "base" / "ort_check.cc").read_text(encoding="utf-8")
    entries = set(re.findall(r"\b(k\w+)\{\s*\d+\}", ours))
    assert {"kCreateStatus", "kGetOutput", "kParallelFor"} <= entries
    assert entries == set(re.findall(r"CHECK_ENTRY\((k\w+),", check))
    values = {
        f"{name}::{value}"
        for name, body in re.findall(r"enum class (\w+) : int \{(.*?)\}", ours, re.DOTALL)
        for value in re.findall(r"k\w+", body)
    }
    assert values == set(re.findall(r"CHECK_VALUE\((\w+::k\w+),", check))
    fields = set(re.findall(r"\(\*(\w+)\)\(.*= nullptr;", ours)) | {"version"}
    assert fields == set(re.findall(r"CHECK_FIELD\(CustomOp, (\w+),", check))


def test_header_that_agrees_compiles(tmp_path: Path) -> None:
    agrees, messages = compile_check(tmp_path, header())
    assert agrees, messages


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            header([*API[:-1], (275, *API[-1][1:])]),
            "the slot of kParallelFor is not that of OrtApi::KernelContext_ParallelFor",
        ),
        (
            header().replace("const OrtShape*, int64_t*, size_t)", "const OrtShape*, int64_t*)"),
            "kGetDimensions has other arguments or another result than OrtApi::GetDimensions",
        ),
        (
            header().replace(
                "(*GetDimensionsCount)(const OrtShape*, size_t*)",
                "(*GetDimensionsCount)(const OrtShape*, int*)",
            ),
            "kGetDimensionsCount has other arguments or another result",
        ),
        (
            header(op=[OP[1], OP[0], *OP[2:]]),
            "CustomOp::get_name is not where OrtCustomOp::GetName is",
        ),
        (
            header().replace("DATA_TYPE_INT32 = 6", "DATA_TYPE_INT32 = 5"),
            "ElementType::kInt32 is not ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32",
        ),
        (
            header().replace("ORT_API_VERSION 17", "ORT_API_VERSION 16"),
            "older than version 17",
        ),
    ],
    ids=["slot", "argument-count", "argument-type", "op-field", "value", "version"],
)
def test_header_that_differs_says_where(tmp_path: Path, text: str, message: str) -> None:
    agrees, messages = compile_check(tmp_path, text)
    assert not agrees
    assert message in messages


def test_folder_without_the_header_is_refused_by_cmake(tmp_path: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed")
    done = subprocess.run(
        ["cmake", "-S", ROOT, "-B", tmp_path / "build", f"-DSQUEEZE_ORT_INCLUDE={tmp_path}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert f"SQUEEZE_ORT_INCLUDE={tmp_path}" in done.stderr
    assert "onnxruntime_c_api.h" in done.stderr
