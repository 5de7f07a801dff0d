"""A folder becomes a teacher that computes what transformers computes, in any batch and length, mask included."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from safetensors.torch import load_file, save_file

from squeeze import calib
from squeeze import teacher as teachers
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.teacher.ends import said_of
from squeeze.teacher.hf.folder import read_folder
from tests.teacher.hf.folders import IMAGES, SMALL, VOCABULARY, add_sentence, plain, save, write

pytest.importorskip("transformers", reason="transformers: pip install squeeze[hf]")

SIZES = ((1, 1), (2, 5), (4, 33))
Feed = dict[str, np.ndarray]


def tokens(samples: int, length: int, *, types: bool = False) -> Feed:
    """Random ids, a mask that leaves out the ends of all samples but the first, and types of two texts."""
    random = np.random.default_rng(samples)
    lengths = np.linspace(length, 1, samples).astype(np.int64)[:, None]
    feed = {
        "input_ids": random.integers(3, VOCABULARY, (samples, length)),
        "attention_mask": (np.arange(length) < lengths).astype(np.int64),
    }
    if types:
        feed["token_type_ids"] = random.integers(0, 2, (samples, length))
    return feed


def run(model: Path, feed: Feed) -> np.ndarray:
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, feed)[0])


def asked(network: torch.nn.Module, feed: Feed, output: str) -> np.ndarray:
    with torch.no_grad():
        return network(**{n: torch.from_numpy(x) for n, x in feed.items()})[output].numpy()


def loaded(folder: Path, example: Feed, out: Path) -> teachers.Teacher:
    return teachers.load(str(folder), weights=None, example=example, folder=out)


def test_classifier_of_pairs_computes_what_transformers_does(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    settings = {**SMALL, "id2label": {0: "no", 1: "yes", 2: "maybe"}}
    network = save(folder, "Bert", "ForSequenceClassification", settings)
    said = said_of(str(folder), None)
    assert said is not None
    assert [str(end) for end in (*said.inputs, *said.outputs)] == [
        "'input_ids' int64 [batch, sequence]",
        "'attention_mask' int64 [batch, sequence]",
        "'token_type_ids' int64 [batch, sequence]",
        "'logits' float32 [batch, 3]",
    ]
    assert said.data.class_names == ("no", "yes", "maybe")
    teacher = loaded(folder, tokens(4, 9, types=True), tmp_path)
    assert teacher.kind == "hf"
    assert set(teacher.interface.free) == {"sequence"}
    assert teacher.interface.batch_size is None
    for samples, length in SIZES:
        feed = tokens(samples, length, types=True)
        wanted = asked(network, feed, "logits")
        np.testing.assert_allclose(run(teacher.model, feed), wanted, rtol=1e-4, atol=1e-5)


def test_data_without_token_types_have_zeros(tmp_path: Path) -> None:
    said = said_of(str(plain(tmp_path / "net", type_vocab_size=2)), None)
    assert said is not None
    names = [end.name for end in said.inputs]
    feed = tokens(40, 9)
    found = {}
    for form in ("without", "with"):
        given = feed if form == "without" else {**feed, names[2]: np.zeros((40, 9), np.int64)}
        np.savez(tmp_path / "data.npz", **given)
        data = calib.load(
            str(tmp_path / "data.npz"),
            inputs=names,
            ends=(said.inputs, said.outputs),
            of_model=said.data,
        )
        assert list(data.evaluate.arrays) == names
        assert data.evaluate.arrays[names[2]].shape == (len(data.evaluate), 9)
        found[form] = {name: np.asarray(x) for name, x in data.feed(data.calibrate).items()}
    for name in names:
        np.testing.assert_array_equal(found["without"][name], found["with"][name])


def test_tagger_with_positions_by_its_padding_computes_what_transformers_does(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "net"
    settings = {**SMALL, "type_vocab_size": 1, "pad_token_id": 1, "num_labels": 5}
    network = save(folder, "Roberta", "ForTokenClassification", settings)
    teacher = loaded(folder, tokens(3, 7), tmp_path)
    assert [spec.name for spec in teacher.interface.inputs] == ["input_ids", "attention_mask"]
    for samples, length in SIZES:
        feed = tokens(samples, length)
        feed["input_ids"] = np.where(feed["attention_mask"] == 1, feed["input_ids"], 1)
        wanted = asked(network, feed, "logits")
        assert wanted.shape == (samples, length, 5)
        np.testing.assert_allclose(run(teacher.model, feed), wanted, rtol=1e-4, atol=1e-5)


def test_encoder_whose_tokens_see_a_window_computes_what_transformers_does(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    special = dict.fromkeys(("bos_token_id", "cls_token_id", "eos_token_id", "sep_token_id"), 1)
    settings = {**SMALL, **special, "pad_token_id": 0, "local_attention": 6}
    network = save(folder, "ModernBert", "Model", settings)
    teacher = loaded(folder, tokens(3, 7), tmp_path)
    for samples, length in SIZES:
        feed = tokens(samples, length)
        counts = feed["attention_mask"][:, :, None] == 1
        wanted = asked(network, feed, "last_hidden_state")
        got = run(teacher.model, feed)
        np.testing.assert_allclose(got * counts, wanted * counts, rtol=1e-4, atol=1e-5)


def test_sentence_encoder_gives_the_pooled_embedding(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    network = save(folder, "Bert", "Model", SMALL)
    add_sentence(folder, {"pooling_mode_mean_tokens": True}, "Dense", "Normalize")
    dense = {"in_features": 16, "out_features": 6, "bias": True}
    activation = {"activation_function": "torch.nn.modules.activation.Tanh"}
    write(folder / "2_Dense" / "config.json", {**dense, **activation})
    random = np.random.default_rng(1)
    weight, bias = random.standard_normal((6, 16)), random.standard_normal(6)
    arrays = {"linear.weight": weight, "linear.bias": bias}
    save_file(
        {name: torch.from_numpy(x.astype(np.float32)) for name, x in arrays.items()},
        folder / "2_Dense" / "model.safetensors",
    )
    teacher = loaded(folder, tokens(4, 9), tmp_path)
    assert [spec.name for spec in teacher.interface.inputs] == ["input_ids", "attention_mask"]
    assert [spec.name for spec in teacher.interface.outputs] == ["sentence_embedding"]
    for samples, length in SIZES:
        feed = tokens(samples, length)
        types = np.zeros((samples, length), np.int64)
        states = asked(network, {**feed, "token_type_ids": types}, "last_hidden_state")
        mask = feed["attention_mask"][:, :, None]
        pooled = np.tanh((states * mask).sum(1) / mask.sum(1) @ weight.T + bias)
        wanted = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        np.testing.assert_allclose(run(teacher.model, feed), wanted, rtol=1e-4, atol=1e-5)


def test_image_classifier_says_how_images_become_its_input(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    network = save(folder, "ViT", "ForImageClassification", {**IMAGES, "num_labels": 4})
    write(
        folder / "preprocessor_config.json",
        {
            "do_normalize": True,
            "do_rescale": True,
            "image_mean": [0.5, 0.4, 0.3],
            "image_std": [0.5, 0.25, 0.2],
            "rescale_factor": 1 / 255,
            "size": {"height": 12, "width": 12},
        },
    )
    x = np.random.default_rng(0).standard_normal((5, 3, 12, 12)).astype(np.float32)
    teacher = loaded(folder, {"pixel_values": x}, tmp_path)
    wanted = asked(network, {"pixel_values": x}, "logits")
    np.testing.assert_allclose(
        run(teacher.model, {"pixel_values": x}), wanted, rtol=1e-4, atol=1e-5
    )
    said = said_of(str(folder), None)
    assert said is not None
    assert said.data.class_names == ()  # LABEL_0 is no name
    assert said.data.preprocess == {
        "resize": (12, 12),
        "scale": 1 / 255,
        "mean": (0.5, 0.4, 0.3),
        "std": (0.5, 0.25, 0.2),
    }


def test_shards_are_read(tmp_path: Path) -> None:
    from squeeze.teacher.hf.network import network as read_network

    made = save(tmp_path, "Bert", "Model", SMALL, max_shard_size="8KB")
    assert not (tmp_path / "model.safetensors").exists()
    folder = read_folder(tmp_path)
    assert len(folder.files) > 3
    feed = tokens(2, 6)
    wanted = asked(made, feed, "last_hidden_state")
    got = asked(read_network(folder), feed, "last_hidden_state")
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_weights_that_lack_a_layer_are_refused(tmp_path: Path) -> None:
    from squeeze.teacher.hf.network import network as read_network

    save(tmp_path, "Bert", "ForSequenceClassification", SMALL)
    file = tmp_path / "model.safetensors"
    state = load_file(file)
    save_file({n: x for n, x in state.items() if "classifier" not in n}, file, {"format": "pt"})
    with pytest.raises(ConfigError, match=r"lack 2 tensors .* 'classifier\.bias'; an untrained"):
        read_network(read_folder(tmp_path))
    save_file(state, file, {"format": "pt"})
    write(
        tmp_path / "config.json",
        {**json.loads((tmp_path / "config.json").read_text()), "vocab_size": 9},
    )
    name, stored = "bert.embeddings.word_embeddings.weight", [VOCABULARY, SMALL["hidden_size"]]
    wanted = [9, SMALL["hidden_size"]]
    with pytest.raises(ConfigError) as caught:
        read_network(read_folder(tmp_path))
    said = f"tensor '{name}' has {stored} in the weights, by config.json {wanted}"
    assert said in str(caught.value)
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(ConfigError, match=r"transformers .* does not read it"):
        read_network(read_folder(tmp_path))


def test_generative_network_is_refused(tmp_path: Path) -> None:
    from squeeze.teacher.hf.network import network as read_network

    sizes = {"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 40}
    save(tmp_path, "GPT2", "LMHeadModel", sizes)
    told = r"'GPT2LMHeadModel'; allowed: classifiers of texts.* FILE.onnx --weights-only"
    with pytest.raises(UnsupportedError, match=told):
        read_network(read_folder(tmp_path))


def test_encoder_of_a_network_that_has_a_decoder_too_is_read(tmp_path: Path) -> None:
    from squeeze.teacher.hf.network import network as read_network

    sizes = {"vocab_size": VOCABULARY, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_heads": 2}
    save(tmp_path, "T5", "EncoderModel", {**sizes, "num_layers": 2})
    found = read_network(read_folder(tmp_path))
    assert type(found).__name__ == "T5EncoderModel"


@pytest.mark.parametrize("size", ["intermediate_size", "num_hidden_layers", "vocab_size"])
def test_network_that_is_larger_than_its_weights_takes_no_memory(tmp_path: Path, size: str) -> None:
    from squeeze.teacher.hf.network import network as read_network

    save(tmp_path, "Bert", "ForSequenceClassification", SMALL)
    file = tmp_path / "config.json"
    write(file, {**json.loads(file.read_text()), size: 10**10})
    with pytest.raises(ConfigError, match=r"describes a larger network than .* bytes of weights"):
        read_network(read_folder(tmp_path))


def test_kind_that_transformers_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not read it: .*`nobody`"):
        said_of(str(plain(tmp_path, model_type="nobody")), None)
