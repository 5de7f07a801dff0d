"""The bundled set: loads as it is said to be, and is what its script makes from the original files."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from squeeze import calib, paths
from tests.calib.interfaces import taking

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "fashion" / "make_calib.py"
ORIGINAL = Path(os.environ.get("SQUEEZE_DATA", "../shared/data")) / "fashion-mnist"


def test_fashion_is_bundled() -> None:
    assert "fashion" in calib.names()
    raw = calib.load("fashion")
    assert (raw.name, raw.modality, raw.metric, raw.classes) == ("fashion", "image", "top1", 10)
    for split, per_class in ((raw.fit, 900), (raw.calibrate, 100), (raw.evaluate, 200)):
        assert split.x.shape == (10 * per_class, 28, 28)
        assert split.x.dtype == np.uint8
        assert split.y is not None
        assert np.bincount(split.y).tolist() == [per_class] * 10


def test_fashion_is_preprocessed_as_its_toml_says() -> None:
    raw = calib.load("fashion")
    fitted = raw.fitted(taking(1, 28, 28, outputs=10))
    assert fitted.assumed == ()
    got = fitted.inputs(fitted.evaluate, 10, 14)
    by_hand = (np.asarray(raw.evaluate.x[10:14], np.float64) / 255 - 0.2860) / 0.3530
    np.testing.assert_allclose(got, by_hand[:, None], rtol=1e-5, atol=1e-6)
    # Those constants are the mean and deviation of all 60,000 training images; ours are a sample of them.
    whole = fitted.inputs(fitted.fit)
    assert abs(whole.mean()) < 0.02
    assert abs(whole.std() - 1) < 0.02


def test_splits_of_fashion_share_no_image() -> None:
    raw = calib.load("fashion")
    seen = [{x.tobytes() for x in np.asarray(s.x)} for s in (raw.fit, raw.calibrate, raw.evaluate)]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]


def test_bundled_data_is_small_and_carries_its_licence() -> None:
    files = [p for p in paths.shipped("calib").iterdir() if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 6_000_000
    licence = (paths.shipped("calib") / "fashion-LICENSE.txt").read_text(encoding="utf-8")
    assert "The MIT License" in licence
    assert "2017 Zalando SE" in licence


@pytest.mark.data
@pytest.mark.skipif(
    not ORIGINAL.is_dir(),
    reason=f"the original Fashion-MNIST files are not in {ORIGINAL} ($SQUEEZE_DATA)",
)
def test_script_makes_the_bundled_file_from_the_original(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("make_calib", SCRIPT)
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    made = script.subset(ORIGINAL)
    with np.load(paths.shipped("calib") / "fashion.npz") as bundled:
        assert sorted(made) == sorted(bundled.files)
        for name in made:
            np.testing.assert_array_equal(made[name], bundled[name])
    tests = {name: made[name] for name in ("x_test", "y_test")}
    for name in ("a.npz", "b.npz"):
        script.write_npz(tmp_path / name, tests)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
