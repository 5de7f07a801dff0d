"""What a machine says of itself, as far as it can change a number that was measured on it."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from squeeze import ops
from squeeze.machine.cpu import host_name, isa, usable_cores
from squeeze.workdir import digest_file


@dataclass(frozen=True)
class Facts:
    """host: the processor in words. isa: clusters of instruction sets, the lowest first; isa_limit: what $SQUEEZE_ISA
    lowers our kernels to. library: digest of our native library, "" where there is none."""

    arch: str
    host: str
    isa: tuple[str, ...]
    isa_limit: str
    cores: int
    library: str
    runtime: str
    runtime_version: str

    def key(self) -> dict[str, Any]:  # Any: JSON
        """All of it; a number is reused on such a machine only."""
        return {**asdict(self), "isa": list(self.isa)}


def architecture() -> str:
    """Of the processor, as target files call it: 'x86_64', 'arm64'."""
    return platform.machine().lower().replace("amd64", "x86_64").replace("aarch64", "arm64")


def facts_of_this_machine() -> Facts:
    """Facts of the machine that this process runs on."""
    library = ops.library_path()
    return Facts(
        arch=architecture(),
        host=host_name(),
        isa=isa(),
        isa_limit=os.environ.get("SQUEEZE_ISA", ""),
        cores=usable_cores(),
        library=digest_file(library) if library else "",
        runtime="onnxruntime",
        runtime_version=version("onnxruntime"),
    )
