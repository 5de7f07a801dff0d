"""This machine: its processor, what it can do, what is missing."""

from __future__ import annotations

from squeeze.machine.checkup import doctor
from squeeze.machine.cpu import host_name, isa, usable_cores

__all__ = [
    "doctor",
    "host_name",
    "isa",
    "usable_cores",
]
