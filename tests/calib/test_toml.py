"""A TOML names arrays, preprocessing, splits and metric; wrong keys and paths that leave the folder are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from squeeze import calib
from squeeze.end import End
from squeeze.errors import ConfigError
from squeeze.interface import Interface, TensorSpec
from tests.calib.interfaces import taking

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (60, 8, 6, 3), dtype=np.uint8)
LABELS = np.arange(60) % 3

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """write(text) makes set/d.toml beside d.npz with samples a, b and labels a_y, b_y, and gives its path."""
    folder = tmp_path / "set"
    folder.mkdir()
    np.savez(folder / "d.npz", a=PIXELS[:40], a_y=LABELS[:40], b=PIXELS[40:], b_y=LABELS[40:])
    np.save(folder / "x.npy", PIXELS)
    np.save(folder / "y.npy", LABELS)
    np.save(tmp_path / "outside.npy", PIXELS)

    def written(text: str) -> str:
        path = folder / "d.toml"
        path.write_text(text)
        return str(path)

    return written


def test_everything_can_be_said(write: Write) -> None:
    raw = calib.load(
        write(
            """
            schema = 1
            name = "cats"
            summary = "cats and dogs"
            data = "d.npz"
            metric = "auc"
            modality = "image"

            [arrays]
            x = "a"
            y = "a_y"
            x_evaluate = "b"
            y_evaluate = "b_y"

            [preprocess]
            layout = "NHWC->NCHW"
            scale = "1/255"
            mean = [0.5, 0.4, 0.3]
            std = 0.25

            [splits]
            calibrate = 0.25
            """
        )
    )
    assert (raw.name, raw.metric, raw.modality, raw.classes) == ("cats", "auc", "image", 3)
    assert (len(raw.fit), len(raw.calibrate), len(raw.evaluate)) == (30, 10, 20)
    fitted = raw.fitted(taking(3, 8, 6, outputs=3))
    assert fitted.assumed == ()
    mean = np.array([0.5, 0.4, 0.3])
    by_hand = ((PIXELS[40:] / 255 - mean) / 0.25).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(fitted.inputs(fitted.evaluate), by_hand, rtol=1e-5, atol=1e-6)


def test_several_files_are_one_set(write: Write) -> None:
    raw = calib.load(write('schema = 1\nname = "d"\ndata = ["x.npy", "y.npy"]'))
    assert (raw.metric, raw.classes) == ("top1", 3)
    assert (len(raw.fit), len(raw.calibrate), len(raw.evaluate)) == (42, 6, 12)


def test_shares_can_be_chosen(write: Write) -> None:
    raw = calib.load(
        write('schema = 1\nname = "d"\ndata = "x.npy"\n[splits]\nevaluate = 0.5\ncalibrate = 0.2')
    )
    assert (len(raw.fit), len(raw.calibrate), len(raw.evaluate)) == (18, 12, 30)


def test_declared_modality_goes_before_shape(write: Write) -> None:
    raw = calib.load(write('schema = 1\nname = "d"\ndata = "x.npy"\nmodality = "spectrogram"'))
    assert raw.modality == "spectrogram"


def test_variable_leads_to_its_folder(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write('schema = 1\nname = "d"\ndata = "${SOME_DATA}/outside.npy"')
    monkeypatch.setenv("SOME_DATA", str(tmp_path))
    assert calib.load(source).fit.x.shape[1:] == (8, 6, 3)
    monkeypatch.setenv("SOME_DATA", str(tmp_path / "set"))
    with pytest.raises(ConfigError, match="no such file"):
        calib.load(source)
    monkeypatch.delenv("SOME_DATA")
    with pytest.raises(ConfigError, match="the environment variable SOME_DATA is not set"):
        calib.load(source)


def test_absolute_path_is_taken(write: Write, tmp_path: Path) -> None:
    raw = calib.load(write(f'schema = 1\nname = "d"\ndata = "{tmp_path}/outside.npy"'))
    assert len(raw.fit) == 42


def test_link_out_of_the_folder_is_refused(write: Write, tmp_path: Path) -> None:
    source = write('schema = 1\nname = "d"\ndata = "link.npy"')
    (tmp_path / "set" / "link.npy").symlink_to(tmp_path / "outside.npy")
    with pytest.raises(ConfigError, match="leaves the folder"):
        calib.load(source)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('data = "../outside.npy"', "data: '../outside.npy' leaves the folder"),
        ('data = "${HOME}/../../etc/passwd.npy"', "leaves the folder"),
        ('data = "a/$HOME/x.npy"', "allowed: one ${VARIABLE} at the beginning"),
        ('data = "none.npz"', "data: no such file"),
        ("data = []", "data"),
        ("data = 3", "data"),
        ("", "data: Field required"),
        ('data = "d.npz"\nmetirc = "top1"', "Did you mean 'metric'?"),
        ('data = "d.npz"\nmetric = "top-1"', "unknown 'top-1'. Did you mean 'top1'?"),
        ('data = "d.npz"\nmodality = "picture"', "modality"),
        ('data = "d.npz"\n[preprocess]\nlayuot = "as-is"', "Did you mean 'layout'?"),
        ('data = "d.npz"\n[preprocess]\nscale = -1', "preprocess.scale"),
        (
            'data = "d.npz"\n[arrays]\nx = "aa"',
            "arrays.x: no array 'aa'; there are: a, a_y, b, b_y",
        ),
        ('data = "d.npz"\n[arrays]\ny = "a_y"', "x is missing"),
        ('data = "d.npz"\n[arrays]\nx = "a"\nz = "b"', "unknown 'z'"),
        ('data = "d.npz"\n[arrays]\nx = "a"\ny = "b_y"', "20 labels for 40 samples"),
        ('data = "x.npy"\n[splits]\nevaluate = 1.5', "splits.evaluate"),
        ('data = "x.npy"\n[splits]\nevaluate = 0.7\ncalibrate = 0.4', "must be below 1"),
        ('data = "x.npy"\n[splits]\ntest = 0.2', "unknown 'test'"),
        ('data = ["x.npy", "x.npy"]', "array 'x' is in another file of this set too"),
        ('data = "x.npy"\n[preprocess]\nlayout = "NHW->NCHW"', "wants samples with 2 axes"),
        ('data = "d.toml"', "got '.toml', allowed: .npz, .npy"),
    ],
    ids=lambda v: v.splitlines()[-1] if v else "nothing",
)
def test_toml_is_refused_when(write: Write, text: str, wanted: str) -> None:
    source = write(f'schema = 1\nname = "d"\n{text}')
    with pytest.raises(ConfigError) as e:
        calib.load(source)
    assert wanted in str(e.value)
    assert "set/" in str(e.value)
    assert len(str(e.value).splitlines()) <= 2


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('schema = 2\nname = "d"\ndata = "x.npy"', "schema"),
        ('name = "d"\ndata = "x.npy"', "schema: Field required"),
        ('schema = 1\ndata = "x.npy"', "name: Field required"),
        ("schema = = 1", "not valid TOML"),
    ],
    ids=["schema", "no-schema", "no-name", "syntax"],
)
def test_toml_without_its_head_is_refused(write: Write, text: str, wanted: str) -> None:
    with pytest.raises(ConfigError, match=wanted):
        calib.load(write(text))


def test_example_of_the_documentation_is_understood(write: Write, tmp_path: Path) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "calibration.md"
    parts = page.read_text(encoding="utf-8").split("```toml\n")[1:]
    examples = [part.split("```")[0] for part in parts]
    # That of texts is tried where their tokenizer is.
    example, several, stateful = (one for one in examples if "[text]" not in one)
    np.savez(
        tmp_path / "set" / "birds.npz",
        pictures=PIXELS[:40],
        species=LABELS[:40],
        pictures_2024=PIXELS[40:],
        species_2024=LABELS[40:],
    )
    raw = calib.load(write(example))
    assert (raw.name, len(raw.fit), len(raw.calibrate), len(raw.evaluate)) == ("birds", 36, 4, 20)
    model = Interface(taking(3, 96, 96).inputs, (TensorSpec("logits", "float32", (3,)),))
    assert (raw.output, raw.fitted(model).assumed) == ("logits", ())

    arrays = {"words": np.arange(120).reshape(40, 3), "present": np.ones((40, 3), bool)}
    arrays["stars"] = LABELS[:40]
    np.savez(
        tmp_path / "set" / "reviews.npz",
        **arrays,
        **{f"{name}_2024": x[:7] for name, x in arrays.items()},
    )
    raw = calib.load(write(several), inputs=("attention_mask", "input_ids"))
    assert (raw.name, len(raw.fit), len(raw.calibrate), len(raw.evaluate)) == ("reviews", 36, 4, 7)
    assert raw.preprocesses["attention_mask"].scale == 1

    np.save(tmp_path / "set" / "frames.npy", np.ones((40, 8), np.float32))
    ends = (
        (
            End("x", "float32", ("batch", 8)),
            End("state", "float32", ("batch", 4)),
            End("sr", "int64", ()),
        ),
        (End("stateN", "float32", ("batch", 4)),),
    )
    raw = calib.load(write(stateful), inputs=("x", "state", "sr"), ends=ends)
    assert (raw.name, dict(raw.states), len(raw.preprocesses)) == ("speech", {"state": "stateN"}, 3)
