"""ncnn on Vulkan, for float models: outputs on whatever Vulkan device there is here, mostly one that the CPU stands in
for (lavapipe), whose times say nothing and are not given.

pnnx makes ncnn's files of an ONNX one: a program that opens no connection and starts no other (both were looked at),
run in a folder of its own because it leaves files of several kinds.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from squeeze.errors import MeasureError, UnsupportedError
from squeeze.runtimes.batches import inputs_of, joined_runs, outputs_of, runs_of
from squeeze.runtimes.child import in_child
from squeeze.runtimes.installed import missing_package, named_version
from squeeze.runtimes.made_feed import made_feed
from squeeze.runtimes.ort import session
from squeeze.runtimes.ort_message import blamed_node
from squeeze.runtimes.plain_onnx import plain_onnx, read
from squeeze.runtimes.runtime import Abilities, Array, Built, Cost, Refusal, Source
from squeeze.runtimes.signature import Input

if TYPE_CHECKING:
    from squeeze.target import Target

PARAM, WEIGHTS, ENDS = "model.ncnn.param", "model.ncnn.bin", "model.ncnn.json"
_SECONDS = 300.0
_UNKNOWN_LAYER = re.compile(r"layer (\S+) not exists or registered")
_DEVICES = """
import ncnn
print([ncnn.get_gpu_info(i).device_name() for i in range(ncnn.get_gpu_count())][0])
"""
# Without feeds it is opened alone. ncnn has no batch axis.
_RUN = """
import ncnn, numpy as np
net = ncnn.Net()
net.opt.use_vulkan_compute = True
net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
if net.load_param(job["param"]) or net.load_model(job["weights"]):
    raise SystemExit("its files cannot be opened")
for k in range(job["feeds"]):
    extractor = net.create_extractor()
    for i in range(job["inputs"]):
        x = np.load(f"{k}.{i}.in.npy")
        extractor.input(f"in{i}", ncnn.Mat(np.ascontiguousarray(x[0])).clone())
    for i in range(job["outputs"]):
        code, y = extractor.extract(f"out{i}")
        if code:
            raise SystemExit(f"a run failed with code {code}")
        np.save(f"{k}.{i}.out.npy", np.array(y))
"""


class NcnnVulkan:
    """See `Runtime`."""

    abilities = Abilities(fixes="sample")  # pnnx writes down the sizes of the run that it follows
    source: Source = "measured"

    def __init__(self, target: Target) -> None:
        self.target = target

    @property
    def version(self) -> str:
        return f"{named_version('ncnn')}, {named_version('pnnx')}"

    def missing(self) -> str | None:
        for package in ("ncnn", "pnnx"):
            if why := missing_package(package, package, "ncnn"):
                return why
        if _device() is None:
            return "there is no Vulkan device: apt-get install mesa-vulkan-drivers (a software one)"
        return None

    def refuses(self, model: Path) -> list[Refusal]:
        for node in read(model).graph.node:
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                why = "ncnn takes no Q/DQ: it has int8 files of its own kind alone; give it the float model"
                return [Refusal(node.name or node.op_type, why)]
        try:
            inputs = inputs_of(model)
        except MeasureError as e:
            return [Refusal(blamed_node([str(e)], model), str(e))]
        for needs in inputs:
            if needs.dtype != np.float32:
                return [
                    Refusal("", f"input '{needs.name}' is {needs.dtype}; ncnn is given float32")
                ]
        with TemporaryDirectory() as folder:
            return self._made(model, Path(folder))

    def build(self, model: Path, folder: Path) -> Built:
        if refused := self.refuses(model):
            raise UnsupportedError(f"{model}: {refused[0]}")
        self._made(model, folder)
        return Built({name: folder / name for name in (ENDS, WEIGHTS, PARAM)})

    def run(self, built: Built, feed: Mapping[str, Array]) -> dict[str, Array]:
        ends = json.loads(built.files[ENDS].read_text(encoding="utf-8"))
        inputs = [Input(n, np.dtype("float32"), tuple(s)) for n, s in ends["inputs"].items()]
        feeds = runs_of(inputs, feed)
        with TemporaryDirectory() as name:
            folder = Path(name)
            for k, one in enumerate(feeds):
                for i, x in enumerate(one.values()):
                    np.save(folder / f"{k}.{i}.in.npy", x)
            self._opened(built.files[PARAM], built.files[WEIGHTS], folder, len(feeds), ends)
            found = [
                {
                    output: np.load(folder / f"{k}.{i}.out.npy").reshape(shape)
                    for i, (output, shape) in enumerate(ends["outputs"].items())
                }
                for k in range(len(feeds))
            ]
        return joined_runs(found)

    def cost(self, built: Built, feed: Mapping[str, Array] | None = None) -> Cost:
        size = built.files[PARAM].stat().st_size + built.files[WEIGHTS].stat().st_size
        device = _device() or "no device"
        note = f"correctness only: times on {device} are not those of a phone's GPU"
        return Cost(self.source, file_bytes=size, notes=(note,))

    def _made(self, model: Path, folder: Path) -> list[Refusal]:
        """Writes ncnn's files into `folder`, and tries whether ncnn opens them."""
        if why := self.missing():
            raise UnsupportedError(f"target '{self.target.name}': {why}")
        sample = made_feed(model)
        with TemporaryDirectory() as name:
            private = Path(name)
            shutil.copyfile(plain_onnx(model, private), private / "model.onnx")
            shapes = ",".join(f"[{','.join(map(str, x.shape))}]" for x in sample.values())
            command = [str(_pnnx()), "model.onnx", f"inputshape={shapes}", "fp16=0"]
            try:
                made = subprocess.run(
                    command, cwd=private, capture_output=True, timeout=_SECONDS, check=False
                )
            except subprocess.TimeoutExpired:
                return [Refusal("", f"pnnx was not done within {_SECONDS:g} s")]
            if made.returncode or not (private / PARAM).is_file():
                return [Refusal("", f"pnnx does not convert it (code {made.returncode})")]
            for file in (PARAM, WEIGHTS):
                shutil.copyfile(private / file, folder / file)
        found = session(model, native=False).run(None, sample)
        ends = {
            "inputs": {name: list(x.shape) for name, x in sample.items()},
            "outputs": {
                name: list(np.shape(y)) for name, y in zip(outputs_of(model), found, strict=True)
            },
        }
        (folder / ENDS).write_text(json.dumps(ends), encoding="utf-8")
        try:
            self._opened(folder / PARAM, folder / WEIGHTS, folder, 0, ends)
        except MeasureError as e:
            layer = _UNKNOWN_LAYER.search(str(e))
            op = layer.group(1) if layer else ""
            node = next((n.name or op for n in read(model).graph.node if n.op_type == op), "")
            return [Refusal(node, str(e))]
        return []

    def _opened(
        self,
        param: Path,
        weights: Path,
        folder: Path,
        feeds: int,
        ends: Mapping[str, Mapping[str, object]],
    ) -> None:
        """In a process of its own, which a file that is odd may crash."""
        job = {
            "param": str(param.resolve()),
            "weights": str(weights.resolve()),
            "feeds": feeds,
            "inputs": len(ends["inputs"]),
            "outputs": len(ends["outputs"]),
        }
        ended = in_child(_RUN, job, folder, _SECONDS)
        if ended.code:
            layer = _UNKNOWN_LAYER.search(ended.said)
            raise MeasureError(f"ncnn: {layer.group(0) if layer else ended.why}")


def _pnnx() -> Path:
    """The program in the package, which is not imported: that would load torch."""
    found = find_spec("pnnx")
    assert found is not None
    assert found.submodule_search_locations is not None
    return Path(found.submodule_search_locations[0]) / "pnnx"


@cache
def _device() -> str | None:
    """The name of the first Vulkan device, or None."""
    with TemporaryDirectory() as folder:
        ended = in_child(_DEVICES, {}, Path(folder), _SECONDS)
    return ended.out.strip().splitlines()[-1] if ended.code == 0 and ended.out.strip() else None
