"""What squeeze and other tools make of the same models, measured."""

import squeeze  # noqa: F401  (before a benchmark's own onnxruntime, whose telemetry it switches off)
