"""OpenVINO in a process of its own, which the environment holds to some instructions. A line of JSON each way:

{"open": path, "threads": n}   -> {"model": number, "ran": {"Convolution brgconv_avx512_I8": 11, ...}}
{"time": number, "calls": n}   -> {"us": median of one call}
{"forget": true}               -> {}; all models are closed
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import MissingPeer, optional
from benchmarks.runners import median_us


def main() -> None:
    """Answers until the pipe is closed."""
    # Nothing but answers may reach the pipe.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(what: dict[str, Any]) -> None:  # Any: JSON
        answers.write(json.dumps(what) + "\n")
        answers.flush()

    try:
        core = optional("openvino").Core()
    except MissingPeer as e:
        answer({"error": str(e)})
        return
    answer({})
    models: list[Any] = []  # Any: of OpenVINO
    threads: list[int] = []
    for line in sys.stdin:
        request = json.loads(line)
        if "open" in request:
            request_of, ran = _opened(core, Path(request["open"]), request["threads"])
            models.append(request_of)
            threads.append(request["threads"])
            answer({"model": len(models) - 1, "ran": ran})
        elif "time" in request:
            answer(
                {
                    "us": median_us(
                        models[request["time"]].infer, request["calls"], threads[request["time"]]
                    )
                }
            )
        else:
            models.clear()
            threads.clear()
            answer({})


def _opened(core: Any, path: Path, threads: int) -> tuple[Any, dict[str, int]]:  # Any: of OpenVINO
    model = core.read_model(path)
    # A batch that may vary is fixed to one, as OpenVINO's guide asks where latency matters.
    model.reshape([1, *(d.get_length() for d in list(model.input(0).partial_shape)[1:])])
    compiled = core.compile_model(
        model,
        "CPU",
        {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": threads > 1,  # as the other contenders
        },
    )
    request = compiled.create_infer_request()
    tensor = request.get_input_tensor(0)
    rng = np.random.default_rng(0)
    if tensor.data.dtype == np.uint8:
        tensor.data[:] = rng.integers(0, 256, tensor.data.shape, dtype=np.uint8)
    else:
        tensor.data[:] = rng.normal(size=tensor.data.shape)
    request.infer()
    ran: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ops():
        about = {k: v.astype(str) for k, v in node.get_rt_info().items()}
        kind, kernel = about.get("layerType", "?"), about.get("primitiveType", "?")
        if kind not in ("Const", "Input", "Output"):
            ran[f"{kind} {kernel}"] += 1
    return request, dict(ran)


if __name__ == "__main__":
    main()
