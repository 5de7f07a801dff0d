"""Settings of the whole suite; nothing here is a stand-in for our own code."""

from __future__ import annotations

import os

import squeeze  # noqa: F401  (before a test's own onnxruntime, whose telemetry it switches off)

# Before torch is loaded: threads that wait by spinning make a suite on a busy machine several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Each core has a worker already.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
