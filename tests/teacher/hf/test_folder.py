"""What a Hugging Face folder may hold is told before any package of it is loaded; everything else is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.teacher import source_digest
from squeeze.teacher.ends import said_of
from squeeze.teacher.hf import network
from squeeze.teacher.hf.folder import read_folder
from squeeze.teacher.hf.sentence import read_sentence
from squeeze.teacher.source import classify
from tests.teacher.hf.folders import add_sentence, plain, write


def test_folder_is_a_teacher_by_its_files(tmp_path: Path) -> None:
    before = set(sys.modules)
    assert classify(str(plain(tmp_path)), None) == "hf"
    assert not {"transformers", "tokenizers"} & (set(sys.modules) - before)
    folder = read_folder(tmp_path)
    assert (folder.head, folder.architecture) == ("sequence", "BertForSequenceClassification")
    with pytest.raises(ConfigError, match=r"--weights w: only for a teacher given as package"):
        classify(str(tmp_path), "w")


def test_missing_package_is_said_with_the_command_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network._imported.cache_clear()
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        UnsupportedError,
        match=r"read with transformers: transformers is not installed: pip install .+",
    ):
        said_of(str(plain(tmp_path)), None)


def test_folder_without_a_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a folder; allowed: .*a Hugging Face folder"):
        classify(str(tmp_path), None)


@pytest.mark.parametrize(
    ("architecture", "head"),
    {
        "BertModel": "none",
        "DeiTForImageClassificationWithTeacher": "image",
        "RobertaForTokenClassification": "tokens",
        "ViTForImageClassification": "image",
    }.items(),
    ids=str,
)
def test_head_is_told_by_the_architecture(tmp_path: Path, architecture: str, head: str) -> None:
    assert read_folder(plain(tmp_path, architectures=[architecture])).head == head


@pytest.mark.parametrize(
    ("config", "error", "words"),
    [
        pytest.param(
            {"auto_map": {"AutoModel": "modeling.Net"}},
            ConfigError,
            "auto_map asks for code of the model's own, which is not run",
            id="auto_map",
        ),
        pytest.param(
            {"quantization_config": {"bits": 4}},
            UnsupportedError,
            "quantised already",
            id="quantised",
        ),
        pytest.param(
            {"transformers_weights": "../w.safetensors"},
            ConfigError,
            "transformers_weights is not read",
            id="weights-elsewhere",
        ),
        pytest.param({"model_type": None}, ConfigError, "has no model_type", id="no-type"),
        pytest.param(
            {"architectures": ["GPT2LMHeadModelX"]},
            UnsupportedError,
            "architecture 'GPT2LMHeadModelX'; allowed: .*ForSequenceClassification",
            id="architecture",
        ),
        pytest.param(
            {"architectures": ["BertForMaskedLM"]},
            UnsupportedError,
            "architecture 'BertForMaskedLM'",
            id="masked-lm",
        ),
    ],
)
def test_configuration_that_is_no_teacher_is_refused(
    tmp_path: Path, config: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=rf"config\.json: .*{words}"):
        classify(str(plain(tmp_path, **config)), None)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{", id="cut-off"),
        pytest.param("[]", id="list"),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param("\ufeff{}", id="byte-order-mark"),
        pytest.param("", id="empty"),
    ],
)
def test_damaged_configuration_is_named(tmp_path: Path, text: str) -> None:
    plain(tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json: (not a JSON file|holds list)"):
        classify(str(tmp_path), None)


def test_pickled_weights_are_refused_with_what_to_do(tmp_path: Path) -> None:
    plain(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError) as refused:
        classify(str(tmp_path), None)
    first, second = str(refused.value).splitlines()
    assert "pytorch_model.bin: pickled weights, which can run code" in first
    assert "save_pretrained(NEW)" in second
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(ConfigError, match=r"has no model\.safetensors\. Where it was made"):
        classify(str(tmp_path), None)


def test_folder_of_an_exported_model_names_the_file(tmp_path: Path) -> None:
    (plain(tmp_path) / "model.safetensors").unlink()
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"but .*onnx/model\.onnx: give that file"):
        classify(str(tmp_path), None)


def test_adapter_is_refused(tmp_path: Path) -> None:
    write(plain(tmp_path) / "adapter_config.json", {})
    with pytest.raises(UnsupportedError, match=r"merge it \(merge_and_unload\)"):
        classify(str(tmp_path), None)


@pytest.mark.parametrize("name", ["../w.safetensors", "/w.safetensors", "w.bin"])
def test_shard_outside_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    plain(tmp_path / "net")
    (tmp_path / "net" / "model.safetensors").rename(tmp_path / "w.safetensors")
    write(tmp_path / "net" / "model.safetensors.index.json", {"weight_map": {"a": name}})
    with pytest.raises(ConfigError, match=r"is no \.safetensors file of this folder"):
        classify(str(tmp_path / "net"), None)


def test_missing_shard_is_named(tmp_path: Path) -> None:
    (plain(tmp_path) / "model.safetensors").unlink()
    write(tmp_path / "model.safetensors.index.json", {"weight_map": {"a": "w-1.safetensors"}})
    with pytest.raises(ConfigError, match=r"w-1\.safetensors: no such file, and .* names it"):
        classify(str(tmp_path), None)


def test_digest_moves_with_every_file_that_counts(tmp_path: Path) -> None:
    plain(tmp_path)
    add_sentence(tmp_path, {"pooling_mode": "mean"})
    write(tmp_path / "preprocessor_config.json", {})
    seen = {source_digest(str(tmp_path), None)}
    for name in (
        "config.json",
        "1_Pooling/config.json",
        "modules.json",
        "preprocessor_config.json",
    ):
        file = tmp_path / name
        file.write_text(file.read_text() + "\n")
        seen.add(source_digest(str(tmp_path), None))
    with (tmp_path / "model.safetensors").open("ab") as file:
        file.write(b" ")
    seen.add(source_digest(str(tmp_path), None))
    assert len(seen) == 6
    (tmp_path / "README.md").write_text("words")
    assert source_digest(str(tmp_path), None) in seen


@pytest.mark.parametrize(
    ("config", "poolings"),
    [
        pytest.param({"pooling_mode": "cls"}, ("cls",), id="new"),
        pytest.param(
            {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, ("mean",), id="old"
        ),
        pytest.param(
            {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
            ("cls", "mean"),
            id="both",
        ),
    ],
)
def test_pooling_is_read_in_both_forms(
    tmp_path: Path, config: dict[str, object], poolings: tuple[str, ...]
) -> None:
    add_sentence(tmp_path, config, "Normalize")
    found = read_sentence(tmp_path)
    assert found.poolings == poolings
    assert found.after == (None,)
    assert found.outputs(8) == 8 * len(poolings)
    assert found.words() == f"{'+'.join(poolings)} pooling, Normalize"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        pytest.param(
            {"pooling_mode_weightedmean_tokens": True},
            "pooling pooling_mode_weightedmean_tokens; allowed: cls, max, mean",
            id="weighted",
        ),
        pytest.param({"pooling_mode": "median"}, "pooling median; allowed", id="unknown"),
        pytest.param({}, "pooling of no kind", id="none"),
    ],
)
def test_other_pooling_is_refused(tmp_path: Path, config: dict[str, object], words: str) -> None:
    add_sentence(tmp_path, config)
    with pytest.raises(UnsupportedError, match=words):
        read_sentence(tmp_path)


def test_module_that_is_not_known_is_refused(tmp_path: Path) -> None:
    add_sentence(tmp_path, {"pooling_mode": "mean"}, "LSTM")
    with pytest.raises(UnsupportedError, match="module 'LSTM' is not known; allowed: Transformer"):
        read_sentence(tmp_path)


@pytest.mark.parametrize("path", ["../other", "/etc"])
def test_module_outside_of_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    add_sentence(tmp_path, {"pooling_mode": "mean"})
    modules = [
        {"path": "", "type": "m.Transformer"},
        {"path": path, "type": "m.Pooling"},
    ]
    write(tmp_path / "modules.json", modules)
    with pytest.raises(ConfigError, match="leaves the model's folder"):
        read_sentence(tmp_path)
