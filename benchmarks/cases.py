"""The models and images that the benchmarks run on: where each comes from and how its calibration set is made.

| case | teacher | fit on | evaluated on |
| --- | --- | --- | --- |
| fashion | bundled ResNet, 1.08 M parameters | bundled Fashion-MNIST training images | bundled test images |
| cifar-resnet56 | published weights fine-tuned to JPEG images | 50,000 JPEG | 10,000 JPEG |
| cifar-resnet56-published, cifar-resnet20 | published weights | 4,000 exact + 46,000 JPEG | 1,000 exact test images |
| mlperf-resnet8 | MLPerf Tiny image classification | 50,000 JPEG | the 200 official images |
| mlperf-mobilenetv1 | MLPerf Tiny visual wake words | every other one of the 1,000 official images | the rest |

The published CIFAR weights never saw JPEG artefacts, so they are judged on exact pixels only; they remember the
exact training images, which are therefore fitted on and never evaluated on. The wake-words set has no training
part that we may use, so half of each class is fitted on and half evaluated on.

All but the first need the folder $SQUEEZE_DATA (default ../shared/data).
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Arrays = dict[str, np.ndarray]  # x_train, x_test: uint8 [n, h, w, c]; y_train, y_test: [n]


class MissingData(Exception):
    """A file that a case needs is not there; the message says which, and where it was looked for."""


@dataclass(frozen=True)
class Case:
    """One teacher and the images it is judged on. `images` names an entry of IMAGES, or a bundled set."""

    name: str
    teacher: str
    images: str
    metric: str = "top1"
    scale: str = "1/1"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def teacher_path(self) -> Path:
        """The trained model. Raises MissingData."""
        return ROOT / self.teacher if self.bundled else data(self.teacher)

    def calib(self, cache: Path | None = None) -> str:
        """What to give as --calib: a bundled name, or the path of a TOML file that is made in the cache folder."""
        if self.bundled:
            return self.images
        folder = cache_dir() if cache is None else cache
        folder.mkdir(parents=True, exist_ok=True)
        archive = folder / f"{self.images}.npz"
        if not archive.is_file():
            part = archive.with_suffix(f".{os.getpid()}.part")
            with part.open("wb") as f:
                np.savez(f, allow_pickle=False, **IMAGES[self.images]())
            part.replace(archive)
        path = folder / f"{self.name}.toml"
        path.write_text(self._toml(archive.name), encoding="utf-8")
        return str(path)

    @property
    def bundled(self) -> bool:
        """Whether the case runs from the repository alone."""
        return self.images not in IMAGES

    def _toml(self, archive: str) -> str:
        lines = [
            "schema = 1",
            f'name = "{self.name}"',
            f'data = "{archive}"',
            f'metric = "{self.metric}"',
            "",
            "[preprocess]",
            'layout = "NHWC->NCHW"',
            f'scale = "{self.scale}"',
        ]
        lines += [f"{k} = {list(v)}" for k, v in (("mean", self.mean), ("std", self.std)) if v]
        return "\n".join(lines) + "\n"


def data(path: str) -> Path:
    """A file of $SQUEEZE_DATA. Raises MissingData."""
    folder = Path(os.environ.get("SQUEEZE_DATA") or ROOT / "../shared/data").resolve()
    found = folder / path
    if not found.is_file():
        raise MissingData(
            f"{found}: not found; put the data folder there, or say where it is with SQUEEZE_DATA"
        )
    return found


def cache_dir() -> Path:
    """Where decoded images and other tools' models are kept: $SQUEEZE_BENCH_CACHE, else build/bench."""
    return Path(os.environ.get("SQUEEZE_BENCH_CACHE") or ROOT / "build/bench")


def cifar_jpeg() -> Arrays:
    """All 60,000 images of the JPEG copy."""
    with np.load(data("cifar10/cifar10_jpeg_full.npz")) as z:
        return {
            "x_train": _decode(z["jpeg_train"], z["off_train"]),
            "y_train": z["y_train"].astype(np.int64),
            "x_test": _decode(z["jpeg_test"], z["off_test"]),
            "y_test": z["y_test"].astype(np.int64),
        }


def cifar_exact() -> Arrays:
    """The exact test images; to fit on, the JPEG copy with its first 4,000 images replaced by the exact ones."""
    arrays = cifar_jpeg()
    with np.load(data("cifar10/cifar10_lossless_train4000_test1000.npz")) as z:
        # Both files are in the original order.
        arrays["x_train"][: len(z["x_train"])] = z["x_train"]
        arrays |= {"x_test": z["x_test"], "y_test": z["y_test"].astype(np.int64)}
    return arrays


def cifar_mlperf() -> Arrays:
    """MLPerf Tiny's 200 image-classification images; the JPEG copy to fit on."""
    arrays = cifar_jpeg()
    with np.load(data("mlperf-tiny-eval/ic01_cifar10_200.npz")) as z:
        arrays |= {"x_test": z["x"], "y_test": z["y"].astype(np.int64)}
    return arrays


def wake_words() -> Arrays:
    """MLPerf Tiny's 1,000 visual-wake-words images, every other one of each class to fit on."""
    with np.load(data("mlperf-tiny-eval/vww01_1000.npz")) as z:
        order = np.argsort(z["y"], kind="stable")
        x, y = z["x"][order], z["y"][order].astype(np.int64)
    return {"x_train": x[0::2], "y_train": y[0::2], "x_test": x[1::2], "y_test": y[1::2]}


IMAGES: dict[str, Callable[[], Arrays]] = {
    "cifar_exact": cifar_exact,
    "cifar_jpeg": cifar_jpeg,
    "cifar_mlperf": cifar_mlperf,
    "wake_words": wake_words,
}


def _normalised_cifar(name: str, teacher: str, images: str) -> Case:
    return Case(name, teacher, images, scale="1/255", mean=IMAGENET_MEAN, std=IMAGENET_STD)


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case("fashion", "examples/fashion/fashion_resnet.pt2", "fashion"),
        _normalised_cifar("cifar-resnet56", "teachers-cifar10/resnet56_jpeg.pt2", "cifar_jpeg"),
        _normalised_cifar(
            "cifar-resnet56-published", "teachers-cifar10/resnet56.pt2", "cifar_exact"
        ),
        _normalised_cifar("cifar-resnet20", "teachers-cifar10/resnet20.pt2", "cifar_exact"),
        Case("mlperf-resnet8", "teachers-mlperf-tiny/ic_resnet8.pt2", "cifar_mlperf"),
        Case(
            "mlperf-mobilenetv1",
            "teachers-mlperf-tiny/vww_mobilenetv1.pt2",
            "wake_words",
            scale="1/255",
        ),
    )
}


def _decode(files: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    raw = files.tobytes()
    return np.stack(
        [
            np.asarray(Image.open(io.BytesIO(raw[start:end])).convert("RGB"))
            for start, end in pairwise(offsets)
        ]
    )
