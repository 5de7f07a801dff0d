"""Bytes of code of tflite-micro's interpreter and of each of its reference kernels, as [code] of a target file has it.

python -m benchmarks.micro_code    prints the table; needs binutils (nm, objdump) and the package tflite-micro

The package's library has its symbols. An operator's code is every function that can be reached from its `Register_...`
by calls, jumps and addresses that are taken, less the core: what the classes of the interpreter, its allocator and its
planner reach, and what half of all operators do. It is code of x86-64: Thumb-2 is denser, kernels of CMSIS-NN are
others, and a function that two operators share is counted for both. So a sum of these is an estimate, rather too large.
"""

from __future__ import annotations

import re
import subprocess
from bisect import bisect_right
from collections import Counter, defaultdict
from importlib.util import find_spec
from pathlib import Path

_JUMP = re.compile(r"\b(?:call|j[a-z]+)\s+([0-9a-f]+)\b|#\s*([0-9a-f]+)\b")
_LINE = re.compile(r"\s*([0-9a-f]+):\s+(.*)")
_OPERATOR = re.compile(r"tflite::micro::Register_([A-Z0-9_]+)\(\)")
# Its methods are called through tables of virtual functions, which calls do not show.
_INTERPRETER = re.compile(
    r"tflite::micro::(Micro(Interpreter\w*|Allocator|Graph|Context|ResourceVariables)|GreedyMemoryPlanner|"
    r"(Non|Single|Persistent)\w*Arena\w*|AllocationInfoBuilder|internal::\w+)::"
)
COMMON = 0.5  # of all operators


class Functions:
    """Of a library: address -> bytes, and what each of them leads to."""

    def __init__(self, library: Path) -> None:
        self.bytes: dict[int, int] = {}
        self.names: dict[int, str] = {}
        for line in _said("nm", "-SC", "--defined-only", str(library)):
            part = line.split(maxsplit=3)
            if len(part) == 4 and part[2].lower() in "tw":
                address = int(part[0], 16)
                self.bytes[address] = int(part[1], 16)
                self.names.setdefault(address, part[3])
        self._starts = sorted(self.bytes)
        self._leads: dict[int, set[int]] = defaultdict(set)
        for line in _said("objdump", "-d", "--no-show-raw-insn", str(library)):
            if (found := _LINE.match(line)) and (source := self._at(int(found[1], 16))) is not None:
                for groups in _JUMP.findall(found[2]):
                    target = self._at(int(groups[0] or groups[1], 16))
                    if target not in (None, source):
                        self._leads[source].add(target)  # type: ignore[arg-type]

    def _at(self, address: int) -> int | None:
        before = bisect_right(self._starts, address) - 1
        if before < 0:
            return None
        start = self._starts[before]
        return start if address < start + self.bytes[start] else None

    def reached(self, *starts: int) -> set[int]:
        """Addresses of all functions that these lead to, themselves included."""
        seen: set[int] = set()
        left = list(starts)
        while left:
            one = left.pop()
            if one not in seen:
                seen.add(one)
                left += self._leads[one]
        return seen

    def total(self, functions: set[int]) -> int:
        """Bytes."""
        return sum(self.bytes[one] for one in functions)


def table(library: Path) -> tuple[int, dict[str, int]]:
    """Bytes of the core, and of each operator beside it."""
    code = Functions(library)
    operators = {
        found[1]: code.reached(address)
        for address, name in code.names.items()
        if (found := _OPERATOR.fullmatch(name))
    }
    held = Counter(function for functions in operators.values() for function in functions)
    core = code.reached(*(a for a, name in code.names.items() if _INTERPRETER.match(name)))
    core |= {function for function, count in held.items() if count > COMMON * len(operators)}
    return code.total(core), {
        name: code.total(functions - core) for name, functions in sorted(operators.items())
    }


def _said(*command: str) -> list[str]:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def main() -> None:
    """Prints the table."""
    package = find_spec("tflite_micro")
    if package is None or package.submodule_search_locations is None:
        raise SystemExit("tflite-micro is not installed: pip install tflite-micro")
    (library,) = Path(package.submodule_search_locations[0]).rglob("_runtime.so")
    core, operators = table(library)
    print(f"[code]\ncore_bytes = {core:_}\n\n[code.kernels]")
    for name, count in operators.items():
        print(f"{name} = {count:_}")


if __name__ == "__main__":
    main()
