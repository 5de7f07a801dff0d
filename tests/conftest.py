"""Settings of the whole suite; nothing here is a stand-in for our own code."""

from __future__ import annotations

import os

# Before torch is loaded: threads that wait by spinning make a suite on a busy machine several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
