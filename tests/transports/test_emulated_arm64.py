"""64-bit Arm by qemu: which CPU a target is, and programs on it."""

from __future__ import annotations

import pytest

from squeeze.errors import UnsupportedError
from squeeze.target import load_target
from squeeze.transports import qemu
from squeeze.transports.emulated_cpu import emulated_cpu


@pytest.mark.parametrize(
    ("target", "cpu"),
    [("rpi4", "cortex-a72"), ("rpi5", "cortex-a76"), ("android-arm64", "cortex-a76")],
)
def test_a_target_is_the_cpu_with_its_features(target: str, cpu: str) -> None:
    assert emulated_cpu(load_target(target).cpu.features).name == cpu


def test_cpuinfo_has_an_entry_for_each_core_and_no_feature_too_many() -> None:
    text = emulated_cpu(["neon"]).cpuinfo(2)
    assert text.count("processor\t:") == 2
    assert "asimddp" not in text
    assert "asimddp" in emulated_cpu(["neon", "dotprod"]).cpuinfo()
    assert "i8mm" in emulated_cpu(["neon", "dotprod", "i8mm"]).cpuinfo()


def test_its_clock_and_memory_are_not_given() -> None:
    device = qemu.Qemu(["neon"])
    with pytest.raises(UnsupportedError, match="cortex-a72 is emulated: how long"):
        device.time({"a": ["true"]}, 3, 60)
    with pytest.raises(UnsupportedError, match="its memory is the emulator's"):
        device.memory(["true"], 60)


def test_what_is_missing_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    missing = qemu.Qemu(["neon"]).missing()
    assert missing is not None
    assert missing.endswith(
        "apt-get install --no-install-recommends qemu-user-static libc6-arm64-cross libstdc++6-arm64-cross"
    )
    with qemu.Qemu(["neon"]) as device, pytest.raises(UnsupportedError, match="not installed"):
        device.run(["true"], 60)
