"""One training serves device after device: the folder of a network, and what a compile takes out of it."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from safetensors.numpy import save_file

from squeeze import steps
from squeeze.commands.search import search_supernet
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.export import feed_to_ir
from squeeze.front import Front
from squeeze.graph import save
from squeeze.spec import Recipe, SupernetPart
from squeeze.steps.inheriting import inheriting_student, not_larger, space_for
from squeeze.steps.sharing import inherited_from, shared_network
from squeeze.steps.supernet import open_supernet
from squeeze.students.encoder import Encoder, Params
from squeeze.train.supernet.space import NAMES
from squeeze.workdir import digest_file, digest_json
from tests.steps.conftest import a_device, a_run, two_by_two
from tests.students.test_encoder import PARAMS, random_encoder

LENGTH = 12
FEW: dict[str, Any] = {"supernet.steps": 2, "supernet.batch_size": 8}


def made(folder: Path, params: Params = PARAMS, encoder: Encoder | None = None) -> tuple[str, str]:
    """A small encoder and texts for it."""
    random = np.random.default_rng(0)
    mask = np.arange(LENGTH) < random.integers(2, LENGTH + 1, (300, 1))
    feed = {
        "ids": random.integers(1, PARAMS.vocabulary, mask.shape) * mask,
        "mask": mask.astype(np.int64),
    }
    model = feed_to_ir(
        encoder or random_encoder(params),
        {name: x[:3] for name, x in feed.items()},
        output_names=["embedding"],
        free_axes={name: {1: "tokens"} for name in feed},
    )
    save(model, folder / "encoder.onnx")
    np.savez(folder / "texts.npz", allow_pickle=False, **feed)  # type: ignore[arg-type]
    return str(folder / "encoder.onnx"), str(folder / "texts.npz")


def with_one_layer(folder: Path) -> tuple[str, str]:
    """As ALBERT: the layers are one and the same, and embeddings are narrower."""
    encoder = random_encoder(PARAMS.model_copy(update={"embedding": 8, "layers": 6}))
    for layer in encoder.layers[1:]:
        layer.load_state_dict(encoder.layers[0].state_dict())
    return made(folder, encoder=encoder)


@dataclass(frozen=True)
class Network:
    """The folder of a network of two spaces."""

    folder: Path
    model: str
    texts: str


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    folder = tmp_path_factory.mktemp("network")
    model, texts = made(folder)
    found = search_supernet(
        model,
        texts,
        out=folder / "net",
        spaces=("tiny", "small"),
        overrides=FEW,
        threads=1,
        cache=folder / "cache",
    )
    assert set(found["spaces"]) == {"tiny", "small"}
    assert all(np.isfinite(part["loss"]) for part in found["spaces"]["tiny"])
    return Network(folder / "net", model, texts)


def test_device_after_device_is_served_by_one_training(network: Network, tmp_path: Path) -> None:
    run = replace(a_run(tmp_path / "work"), supernet=open_supernet(network.folder))
    case = steps.load(run, network.model, None, network.texts, None)
    device = a_device(tmp_path / "state")
    recipe = Recipe.model_validate({"schema": 1, "name": "few", "supernet": {"further": 1}})
    whole = PARAMS.costs(LENGTH)
    shares = []
    for speedup in (7.5, 15.0):  # of which int8 is counted as 3
        wanted = recipe.model_copy(
            update={"search": recipe.search.model_copy(update={"speedup": speedup})}
        )
        net = inheriting_student(run, case, device, wanted, Front(wanted.goal, lambda _: {}))
        assert net is not None
        assert net.arch is not None
        shares.append(Params.model_validate(net.arch.params).costs(LENGTH).macs / whole.macs)
        assert shares[-1] <= 3 / speedup
        session = ort.InferenceSession(net.file, providers=["CPUExecutionProvider"])
        for length in (5, 19):
            feed = {"ids": np.ones((2, length), np.int64), "mask": np.ones((2, length), np.int64)}
            (found,) = session.run(None, feed)
            assert found.shape == (2, PARAMS.hidden)
            np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    assert shares[1] < shares[0]
    names = [entry["name"] for entry in run.log]
    assert "supernet" not in names
    assert names.count("distill") == 2


def test_part_of_a_teacher_with_other_positions_is_run(tmp_path: Path) -> None:
    """Counted from padding, and relative."""
    other = PARAMS.model_copy(update={"pad": 0, "distances": (1, 2, 5)})
    model, texts = made(tmp_path, other)
    run = a_run(tmp_path / "work")
    case = steps.load(run, model, None, texts, None)
    device = a_device(tmp_path / "state")
    few = {"steps": 1, "batch_size": 8, "further": 1, "space": "tiny"}
    recipe = Recipe.model_validate({"schema": 1, "name": "few", "supernet": few})
    net = inheriting_student(run, case, device, recipe, Front(recipe.goal, lambda _: {}))
    assert net is not None
    assert net.arch is not None
    part = Params.model_validate(net.arch.params)
    assert (part.pad, part.distances) == (0, (1, 2, 5))
    assert part.heads < other.heads
    session = ort.InferenceSession(net.file, providers=["CPUExecutionProvider"])
    ids = np.arange(1, 8)[None]
    alone = {"ids": ids, "mask": np.ones_like(ids)}
    filled = {name: np.pad(x, ((0, 0), (0, 5))) for name, x in alone.items()}
    (found,), (padded,) = (session.run(None, feed) for feed in (alone, filled))
    np.testing.assert_allclose(padded, found, rtol=1e-4, atol=1e-5)


def test_part_of_a_teacher_with_one_layer_is_no_larger(tmp_path: Path) -> None:
    model, texts = with_one_layer(tmp_path)
    run = a_run(tmp_path / "work")
    case = steps.load(run, model, None, texts, None)
    stored = inherited_from(run, case).result["stored"]
    teacher = Params.model_validate(inherited_from(run, case).result["params"])
    layer = 4 * 24 * 12 + 3 * 12 + 24 + 2 * 24 * 40 + 40 + 24 + 4 * 24
    assert stored == (50 + 20 + 2) * 8 + 8 * 24 + 24 + layer
    # The smallest part of 'base' has three layers, each with more than half of the layer's weights.
    assert not_larger(NAMES, teacher, stored) == ("small", "tiny")
    assert not_larger(NAMES, teacher, 100) == ()
    few = {"steps": 1, "batch_size": 8, "further": 1}
    recipe = Recipe.model_validate({"schema": 1, "name": "few", "supernet": few})
    front = Front(recipe.goal, lambda _: {})
    net = inheriting_student(run, case, a_device(tmp_path / "state"), recipe, front)
    assert net is not None
    assert net.arch is not None
    assert Params.model_validate(net.arch.params).costs(LENGTH).params <= stored


def test_what_comes_after_a_network_does_not_train_it_again(tmp_path: Path) -> None:
    model, texts = made(tmp_path)
    run = a_run(tmp_path / "work")
    case = steps.load(run, model, None, texts, None)
    inherited = inherited_from(run, case)
    keys = []
    for further, count in ((1, 1), (7, 1), (1, 2)):
        part = SupernetPart(steps=count, batch_size=8, further=further)
        trained, scored = shared_network(run, case, inherited, part, "tiny")
        keys.append((trained.key(), scored.key()))
    assert keys[1] == keys[0] != keys[2]


def test_extra_and_made_texts_are_told_and_trained_on(tmp_path: Path) -> None:
    model, texts = made(tmp_path)
    random = np.random.default_rng(5)
    ids = random.integers(1, PARAMS.vocabulary, (40, LENGTH))
    np.savez(tmp_path / "more.npz", ids=ids, mask=np.ones_like(ids))
    tokens = []
    for extra, mixed in (((), 0.0), ((str(tmp_path / "more.npz"),), 0.0), ((), 1.0)):
        run = a_run(tmp_path / "work")
        case = steps.load(run, model, None, texts, None, extra=extra)
        part = SupernetPart(steps=1, batch_size=8, mixed=mixed)
        shared_network(run, case, inherited_from(run, case), part, "tiny")
        (told,) = (entry["summary"] for entry in run.log if entry["name"] == "told")
        tokens.append(int(re.sub(r"\D", "", told)))
    assert tokens[1] == tokens[0] + 40 * LENGTH
    assert tokens[2] > 1.5 * tokens[0]


def test_damaged_folder_and_another_teacher_are_refused(network: Network, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="another teacher"):
        open_supernet(network.folder).check("other")
    folder = tmp_path / "net"
    shutil.copytree(network.folder, folder)
    weights = folder / "tiny" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(ConfigError, match=r"damaged \(tiny/.* other bytes.*train it again"):
        open_supernet(folder)
    weights.unlink()
    with pytest.raises(ConfigError, match=r"damaged \('tiny/weights.safetensors' is missing"):
        open_supernet(folder)
    for nothing in (tmp_path / "nothing", Path(network.texts)):
        with pytest.raises(ConfigError, match=r"not a folder that squeeze search .*supernet\.json"):
            open_supernet(nothing)


@pytest.mark.parametrize(
    ("written", "said"),
    [("{cut", r"damaged \(supernet.json: cannot be read"), (None, r"another version .*format 2")],
)
def test_record_that_is_cut_off_or_of_another_version_says_so(
    written: str | None, said: str, network: Network, tmp_path: Path
) -> None:
    folder = tmp_path / "net"
    shutil.copytree(network.folder, folder)
    record = json.loads((folder / "supernet.json").read_bytes())
    (folder / "supernet.json").write_text(written or json.dumps({**record, "format": 2}))
    with pytest.raises(ConfigError, match=said):
        open_supernet(folder)


def test_space_that_a_network_lacks_is_refused_before_anything_is_loaded(network: Network) -> None:
    with pytest.raises(ConfigError, match=r"supernet.space: got 'base', and .* has .*small"):
        steps.begin(
            Recipe.model_validate({"schema": 1, "name": "r", "supernet": {"space": "base"}}),
            None,
            1,
            "cpu",
            None,
            network.folder,
        )


def test_a_folder_with_anything_but_a_network_is_left_alone(
    network: Network, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    asked: Any = {"overrides": {"supernet.steps": 1}, "threads": 1, "cache": tmp_path / "cache"}
    with pytest.raises(ConfigError, match="holds other files and no network"):
        search_supernet(network.model, network.texts, out=mine, **asked)
    assert not (tmp_path / "cache").exists()
    assert [p.name for p in mine.iterdir()] == ["notes.txt"]
    shutil.copytree(network.folder, tmp_path / "net")
    (tmp_path / "net" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds 'notes.txt' beside a network"):
        search_supernet(network.model, network.texts, out=tmp_path / "net", **asked)
    assert (tmp_path / "net" / "notes.txt").read_text() == "mine"


def test_folder_that_was_sealed_with_other_weights_is_refused(
    network: Network, tmp_path: Path
) -> None:
    folder = tmp_path / "net"
    shutil.copytree(network.folder, folder)
    weights = folder / "tiny" / "weights.safetensors"
    save_file({"word.weight": np.zeros((3, 3), np.float32)}, weights)
    record = json.loads((folder / "supernet.json").read_bytes())
    record["files"]["tiny"] = digest_file(weights)
    del record["digest"]
    (folder / "supernet.json").write_text(json.dumps({**record, "digest": digest_json(record)}))
    with pytest.raises(ConfigError, match="tiny has other weights"):
        open_supernet(folder)


def test_what_is_neither_text_encoder_nor_convolutional_is_refused(tmp_path: Path) -> None:
    problem = two_by_two(tmp_path)
    given: dict[str, Any] = {"threads": 1, "cache": tmp_path / "cache", "out": tmp_path / "net"}
    with pytest.raises(
        UnsupportedError, match="or a convolutional network, and it has more than one input"
    ):
        search_supernet(str(problem.model), str(problem.data), **given)


def test_space_is_the_smallest_that_reaches_the_budget() -> None:
    teacher = PARAMS.model_copy(update={"layers": 12, "hidden": 384, "heads": 12, "ffn": 1536})
    macs = teacher.costs(16).macs
    found = [space_for(teacher, 16, macs / fewer, NAMES) for fewer in (1.2, 3, 40)]
    assert found == ["base", "small", "tiny"]
    assert space_for(teacher, 16, macs / 40, ("base",)) == "base"
