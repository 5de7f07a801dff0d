"""The Arm library inside a real Arm ONNX Runtime, on emulated CPUs. Wants the runtime's wheel for aarch64, unpacked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.native.arm64_tools import COMPILER, CPUS, ROOT, cross_built, program, qemu
from tests.ops import qconv_model, test_qconv, test_qgemm
from tests.ops.product_model import Array

RUNTIME = ROOT / "build" / "arm64-onnxruntime"
SYSTEM = Path("/usr/aarch64-linux-gnu")
WHAT_A_CPU_HAS = {
    "arm64_neon": "fp asimd aes pmull sha1 sha2 crc32",
    "arm64_dotprod": "atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp",
    "arm64_i8mm": "i8mm bf16",
}
# Its detection of CPU features reads this file, of the machine that emulates, and dies of one that is not Arm's.
CPU_INFO = """processor\t: 0
BogoMIPS\t: 100.00
Features\t: {features}
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: {part}
CPU revision\t: 0
"""
# Parts newer than Cortex-A76 crash it in the emulator. Our library asks the kernel (AT_HWCAP), not this file.
PARTS = {"cortex-a53": "0xd03", "cortex-a76": "0xd0b", "max,sme=off": "0xd0b"}


# Name to file, inputs, and what NumPy says of them.
MODELS: dict[str, tuple[bytes, dict[str, Array], Array]] = {
    **{
        f"qconv-{name}": (
            qconv_model.build(case, body=False),
            case.feeds(),
            case.laid_out(qconv_model.expected(case)),
        )
        for name, case in test_qconv.CASES.items()
    },
    **{
        f"qgemm-{name}": (
            test_qgemm.build(case, body=False),
            test_qgemm.feeds(case),
            test_qgemm.expected(case),
        )
        for name, case in test_qgemm.CASES.items()
    },
}


@pytest.fixture(scope="module")
def runtime() -> Path:
    found = sorted(RUNTIME.glob("**/libonnxruntime.so.*"))
    if not found:
        pytest.skip(f"no libonnxruntime.so for aarch64 under {RUNTIME} (docs/building.md)")
    return found[0]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = program(COMPILER, "g++-aarch64-linux-gnu")
    path = tmp_path_factory.mktemp("session") / "session"
    source = ROOT / "tests" / "native" / "arm64" / "session.cc"
    include = ROOT / "squeeze" / "csrc"
    subprocess.run([compiler, "-std=c++20", "-O1", "-I", include, source, "-o", path], check=True)
    return path


def write(folder: Path, name: str, model: bytes, feeds: dict[str, Array]) -> str:
    """The files of one model; its line in the list."""
    (folder / f"{name}.onnx").write_bytes(model)
    line = [str(folder / f"{name}.onnx"), str(folder / f"{name}.y")]
    for what, given in feeds.items():
        values = np.ascontiguousarray(given)
        (folder / f"{name}.{what}").write_bytes(values.tobytes())
        kind = onnx.helper.np_dtype_to_tensor_dtype(values.dtype)
        line += [what, str(folder / f"{name}.{what}"), str(kind), str(values.ndim)]
        line += map(str, values.shape)
    return " ".join(line)


@pytest.mark.parametrize("cpu", CPUS)
def test_native_op_equals_numpy_integers(
    cpu: str, runtime: Path, session: Path, tmp_path: Path
) -> None:
    emulator, library = qemu(), cross_built("libsqueeze_ops.so")
    own_mounts = ["unshare", "--map-root-user", "--mount"]
    if subprocess.run([*own_mounts, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not have mounts of its own: unshare --map-root-user --mount")
    lines = [write(tmp_path, name, model, feeds) for name, (model, feeds, _) in MODELS.items()]
    (tmp_path / "list").write_text("\n".join(lines) + "\n", encoding="utf-8")
    features = " ".join(WHAT_A_CPU_HAS[isa] for isa in CPUS[cpu])
    info = tmp_path / "cpuinfo"
    info.write_text(CPU_INFO.format(features=features, part=PARTS[cpu]), encoding="utf-8")
    script = 'mount --bind "$1" /proc/cpuinfo && shift && exec "$@"'
    emulated = [emulator, "-cpu", cpu, "-L", SYSTEM, session, runtime, library, tmp_path / "list"]
    done = subprocess.run(
        [*own_mounts, "sh", "-c", script, "sh", info, *emulated],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name, (_, _, wanted) in MODELS.items():
        y = np.frombuffer((tmp_path / f"{name}.y").read_bytes(), wanted.dtype)
        np.testing.assert_array_equal(y.reshape(wanted.shape), wanted, name)
