"""The cross build for 64-bit Arm: its kernels on emulated CPUs. Emulation proves results, never speed."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.native.arm64_tools import BUILD, CPUS, ROOT, cross_built, qemu
from tests.native.symbols import check_archive, check_no_weak_code, check_shared_library


def arm_kernels() -> dict[str, str]:
    """Kernel to cluster, of every op's kernels.inc."""
    lists = [p.read_text(encoding="utf-8") for p in ROOT.glob("squeeze/csrc/*/kernels.inc")]
    found = re.findall(r"SQUEEZE_KERNEL\((\w+__(arm64_\w+))\)", "\n".join(lists))
    assert found
    return dict(found)


@pytest.mark.parametrize("cpu", CPUS)
def test_every_kernel_that_a_cpu_may_run_equals_the_portable_one(cpu: str) -> None:
    command = [qemu(), "-cpu", cpu, cross_built("squeeze_kernel_test"), "quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    ran = set(re.findall(r"^ok \w+ (\w+__arm64_\w+):", done.stdout, re.MULTILINE))
    skipped = re.findall(r"^skipped \w+ (\w+): this CPU has only (\w+)$", done.stdout, re.MULTILINE)
    assert ran == {kernel for kernel, isa in arm_kernels().items() if isa in CPUS[cpu]}
    assert ran | {kernel for kernel, _ in skipped} == set(arm_kernels())
    assert {isa for _, isa in skipped} <= {CPUS[cpu][-1]}


def test_library_exports_few_names_and_needs_an_old_c_library_alone() -> None:
    check_shared_library(cross_built("libsqueeze_ops.so"))


def test_archive_for_apps_has_one_global_name() -> None:
    check_archive(cross_built("libsqueeze_ops.a"))


def test_files_for_one_isa_hold_no_weak_code() -> None:
    cross_built("libsqueeze_ops.so")
    objects = sorted(BUILD.glob("CMakeFiles/squeeze_objects.dir/squeeze/csrc/*/*__arm64_*.o"))
    assert objects
    check_no_weak_code(objects)
