from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from squeeze import ops
from squeeze.machine import cpu, doctor


def entries() -> dict[str, dict[str, object]]:
    return {e["name"]: dict(e) for e in doctor()["entries"]}


def test_doctor_is_json_and_a_hint_goes_with_each_warning() -> None:
    found = json.loads(json.dumps(doctor()))["entries"]
    assert len({e["name"] for e in found}) == len(found)
    for entry in found:
        assert set(entry) == {"name", "found", "ok", "hint"}
        assert entry["found"]
        assert entry["ok"] or entry["hint"]


def test_doctor_finds_the_versions_that_are_installed() -> None:
    found = entries()
    assert found["onnxruntime"]["found"] == version("onnxruntime")
    assert found["numpy"]["found"] == version("numpy")


def test_doctor_warns_when_the_library_is_missing_or_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops, "library_path", lambda: None)
    assert entries()["native library"]["ok"] is False
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"not a library")
    monkeypatch.setattr(ops, "library_path", lambda: broken)
    found = entries()["native library"]
    assert found["ok"] is False
    assert "does not load" in str(found["found"])


def test_doctor_says_that_no_ops_are_registered_on_a_cpu_with_portable_kernels_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ops.library_path() is None:
        pytest.skip("libsqueeze_ops.so is not built: cmake -S . -B build && cmake --build build")
    old = tmp_path / "cpuinfo"
    old.write_text("processor : 0\nmodel name : Old\nflags : fpu sse2 ssse3 sse4_2 avx\n")
    monkeypatch.setattr(cpu, "_CPUINFO", old)
    monkeypatch.delenv("SQUEEZE_ISA", raising=False)
    found = entries()["native library"]
    assert found["ok"] is False
    assert "registers no ops" in str(found["found"])
    assert "run their ops as plain ONNX" in str(found["hint"])
    monkeypatch.setenv("SQUEEZE_ISA", "portable")  # whoever names a cluster gets it
    assert entries()["native library"]["ok"] is True


def test_doctor_warns_when_a_folder_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SQUEEZE_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("SQUEEZE_STATE", str(tmp_path / "absent" / "state"))
    found = entries()
    assert found["cache"]["ok"] is False
    assert "$SQUEEZE_CACHE" in str(found["cache"]["hint"])
    assert str(tmp_path) in str(found["state"]["found"])
    assert not (tmp_path / "absent").exists()


def test_doctor_imports_neither_torch_nor_onnxruntime() -> None:
    code = (
        "import sys; from squeeze.machine import doctor; doctor(); "
        "print([m for m in ('torch', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
