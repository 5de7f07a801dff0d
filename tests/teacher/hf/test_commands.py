"""The commands take a folder as they take a file: looked at, fitted to data, compiled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from squeeze import calib, steps
from squeeze.artifact import Artifact
from squeeze.commands.inspect import inspect_model
from squeeze.compile import compile_model
from squeeze.verification import verify
from tests.steps.conftest import a_run
from tests.teacher.hf.folders import IMAGES, VOCABULARY, save, write

transformers = pytest.importorskip("transformers", reason="transformers: pip install squeeze[hf]")

MEAN, STD = (0.5, 0.4, 0.3), (0.5, 0.25, 0.2)
PROCESSOR = {
    "do_normalize": True,
    "do_rescale": True,
    "image_mean": MEAN,
    "image_std": STD,
    "rescale_factor": 1 / 255,
    "size": {"height": 12, "width": 12},
}
DISTILLED = {
    "dim": 64,
    "hidden_dim": 128,
    "n_heads": 2,
    "n_layers": 1,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 40,
    "initializer_range": 0.1,
}


def test_images_are_prepared_as_the_folder_says(tmp_path: Path) -> None:
    """Labels are what transformers answers for pixels that are prepared by hand: all are found again."""
    folder = tmp_path / "net"
    settings = {**IMAGES, "id2label": {0: "cat", 1: "dog", 2: "cow"}}
    network = save(folder, "ViT", "ForImageClassification", settings)
    write(folder / "preprocessor_config.json", PROCESSOR)
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (150, 12, 12, 3), dtype=np.uint8)
    x[::3, 6:], x[1::3, :, :6] = 20, 240  # noise alone is one class
    prepared = ((x / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)
    with torch.no_grad():
        y = network(pixel_values=torch.from_numpy(prepared)).logits.argmax(1).numpy()
    assert len(set(y)) > 1
    np.savez(tmp_path / "data.npz", x=x, y=y)
    run = a_run(tmp_path / "work")
    case = steps.load(run, str(folder), None, str(tmp_path / "data.npz"), None, trained=False)
    answers = np.asarray(case.reference("evaluate")["logits"])
    np.testing.assert_array_equal(answers.argmax(1), case.data.evaluate.y)
    known = case.data.preprocess
    assert (known.resize, known.mean, known.std) == (None, MEAN, STD)
    assert case.data.class_names == ("cat", "dog", "cow")


def test_what_the_model_says_stands_behind_a_toml_and_the_command_line(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (60, 24, 12, 3), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(60) % 2)
    toml = tmp_path / "data.toml"
    toml.write_text(
        'schema = 1\nname = "d"\ndata = ["data.npz"]\n[preprocess]\nmean = 0.25\nstd = 0.5\n'
    )
    keys = {"resize": (12, 12), "scale": 1 / 255, "mean": MEAN, "std": STD}
    own = calib.OfModel(keys, ("no", "yes"))
    plain = calib.load(str(tmp_path / "data.npz"), of_model=own)
    assert (plain.preprocess.resize, plain.preprocess.mean) == ((12, 12), MEAN)
    assert plain.class_names == ("no", "yes")
    said = calib.load(str(toml), of_model=own).preprocess
    assert (said.resize, said.scale, said.mean, said.std) == ((12, 12), 1 / 255, (0.25,), (0.5,))
    asked = calib.load(str(toml), of_model=own, preprocess={"std": 0.1}).preprocess
    assert (asked.mean, asked.std) == ((0.25,), (0.1,))
    # 0..1 are pixels, too; other values were prepared by somebody.
    for low, high, scale in ((0, 1, 1.0), (-2, 2, None)):
        floats = np.linspace(low, high, x.size, dtype=np.float32).reshape(x.shape)
        np.savez(tmp_path / "floats.npz", x=floats)
        found = calib.load(str(tmp_path / "floats.npz"), of_model=own).preprocess
        assert found.scale == scale


def test_folder_is_compiled_and_its_sizes_stay_free(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    network = save(folder, "DistilBert", "ForSequenceClassification", DISTILLED)
    random = np.random.default_rng(0)
    mask = (np.arange(12) < random.integers(4, 13, (120, 1))).astype(np.int64)
    ids = random.integers(2, VOCABULARY, (120, 12)) * mask
    np.savez(tmp_path / "data.npz", input_ids=ids, attention_mask=mask)
    seen = inspect_model(folder)
    names = ("input_ids", "attention_mask")
    assert seen["inputs"] == [f"{name} int64 [batch, sequence]" for name in names]
    assert seen["metadata"] == {"max_position_embeddings": "40"}
    package = compile_model(
        str(folder),
        str(tmp_path / "data.npz"),
        out=tmp_path / "out",
        recipe="ptq",
        cache=tmp_path / "cache",
        size_bytes=int((folder / "model.safetensors").stat().st_size * 0.8),
    )
    assert isinstance(package, Artifact)
    assert package.manifest["teacher"]["kind"] == "hf"
    assert package.manifest["teacher"]["of_one_file"] is False
    assert package.manifest["versions"]["transformers"] == transformers.__version__
    assert all(check.ok for check in verify(tmp_path / "out"))
    session = ort.InferenceSession(str(package.model), providers=["CPUExecutionProvider"])
    assert [i.shape for i in session.get_inputs()] == [["batch", "sequence"]] * 2
    assert session.get_modelmeta().custom_metadata_map["max_position_embeddings"] == "40"
    feed = {"input_ids": ids[:6, :9], "attention_mask": np.ones((6, 9), np.int64)}
    with torch.no_grad():
        given = {name: torch.from_numpy(x) for name, x in feed.items()}
        wanted = network(**given).logits.numpy()
    (got,) = session.run(None, feed)
    assert np.abs(got - wanted).max() < 0.1 * np.abs(wanted).max()
