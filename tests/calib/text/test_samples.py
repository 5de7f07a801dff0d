"""Texts of .csv, .tsv, .jsonl and .txt files as the samples of a set: ids, masks, token types, lengths, pairs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from squeeze import calib
from squeeze.calib import Calib
from squeeze.calib.lookups import Lookups
from squeeze.errors import ConfigError
from tests.calib.text.conftest import Write
from tests.calib.text.small import CLS, ID, PAD, SEP, UNK, ends, loading

pytest.importorskip("tokenizers", reason="tokenizers: pip install squeeze[hf]")

A, B, C, D, X = (ID[word] for word in ("a", "b", "c", "d", "##x"))
BERT = ends("input_ids", "attention_mask", "token_type_ids")
ENCODER = ends("input_ids", "attention_mask")


def load(path: Any, model: Any = ENCODER, **given: Any) -> Calib:
    tokenizer = path.parent / "tokenizer.json"
    text = {"tokenizer": str(tokenizer), **given.pop("text", {})}
    return calib.load(str(path), text=text, **loading(model), **given)


def rows(found: Calib, name: str) -> list[list[int]]:
    """All samples of an input, sorted."""
    return sorted(row for s in found.splits.values() for row in np.asarray(s.arrays[name]).tolist())


def test_a_line_is_a_sample(write: Write) -> None:
    found = load(
        write("d.txt", "a b\nb\nc zz a\nax\n"), ends("input_ids", "attention_mask", length=6)
    )
    assert rows(found, "input_ids") == sorted(
        [
            [CLS, A, B, SEP, PAD, PAD],
            [CLS, B, SEP, PAD, PAD, PAD],
            [CLS, C, UNK, A, SEP, PAD],
            [CLS, A, X, SEP, PAD, PAD],
        ]
    )
    for split in found.splits.values():
        ids, mask = (np.asarray(split.arrays[n]) for n in ("input_ids", "attention_mask"))
        np.testing.assert_array_equal(mask, ids != PAD)
    assert (found.modality, found.metric) == ("tokens", None)


def test_two_texts_of_an_encoder_are_two_samples_of_one_pair(write: Write) -> None:
    lines = [f"{'a ' * (i % 3 + 1)},b,{i / 4}" for i in range(40)]
    path = write("d.csv", "\n".join(["one,other,score", *lines]))
    found = load(path, text={"columns": ["one", "other"], "label": "score"})
    assert found.metric == "pair_spearman"
    assert sum(len(s) for s in found.splits.values()) == 80
    seen: list[int] = []
    for split in found.splits.values():
        assert split.y is not None
        ids = np.asarray(split.arrays["input_ids"])
        numbers, scores = split.y.T
        for number in np.unique(numbers):
            (one, other) = np.flatnonzero(numbers == number)
            assert (ids[one][1], ids[other][1]) == (A, B)
            assert scores[one] == scores[other] == number / 4
            seen.append(int(number))
    assert sorted(seen) == list(range(40))


@pytest.mark.parametrize(
    ("output", "metric", "label", "samples"),
    [
        ("embedding", None, "", 24),
        ("embedding", "cosine", "", 24),
        ("embedding", "pair_spearman", "score", 24),
        ("embedding", "spearman", "score", 12),
        ("logits", None, "score", 12),
        ("logits", "pair_spearman", "score", 24),
    ],
)
def test_two_texts_are_told_by_outputs_and_metric(
    write: Write, output: str, metric: str | None, label: str, samples: int
) -> None:
    path = write("d.csv", "\n".join(["p,q,score", *(f"a,b,{i / 3}" for i in range(12))]))
    text = {"columns": ["p", "q"], "label": label}
    found = load(path, ends("input_ids", output=output), text=text, metric=metric)
    assert sum(len(s) for s in found.splits.values()) == samples


def test_every_word_of_how_texts_were_tokenised_is_in_the_key(write: Write) -> None:
    told = load(write("d.txt", "a b\n" * 4)).text
    assert told is not None
    others = {
        "digest": "other",
        "length": 9,
        "cut": 1,
        "columns": ("other",),
        "kinds": {},
        "dtypes": {},
        "pad_id": 5,
        "pads_left": True,
        "words": True,
        "pooling": "mean",
        "texts": ("c",),
    }
    # The digest is that of the tokenizer's bytes.
    assert {field.name for field in dataclasses.fields(told)} == {*others, "tokenizer"}
    for name, value in others.items():
        assert dataclasses.replace(told, **{name: value}).key() != told.key(), name


def test_without_a_model_the_ids_alone_are_told(write: Write) -> None:
    path = write("d.txt", "a\nb\nc\n")
    found = calib.load(str(path), text={"tokenizer": str(path.parent / "tokenizer.json")})
    assert sorted(np.asarray(s.x)[0].tolist() for s in found.splits.values()) == [
        [CLS, A, SEP],
        [CLS, B, SEP],
        [CLS, C, SEP],
    ]


def test_two_texts_of_a_classifier_are_one_sequence(write: Write) -> None:
    path = write("d.tsv", "x\ty\tlabel\na\tb c\tno\nb\tc\tyes\nc\ta\tno\nd\td\tyes\n")
    model = ends(
        "input_ids", "attention_mask", "token_type_ids", length=6, output="logits", width=2
    )
    found = load(path, model, text={"columns": ["x", "y"], "label": "label"})
    assert [CLS, A, SEP, B, C, SEP] in rows(found, "input_ids")
    assert [0, 0, 0, 1, 1, 1] in rows(found, "token_type_ids")
    assert (found.metric, found.classes, found.class_names) == ("top1", 2, ("no", "yes"))
    assert any(
        "classes are numbered in the order of their names: no, yes" in s for s in found.assumed
    )


def test_classes_are_in_the_models_own_order(write: Write) -> None:
    path = write(
        "d.jsonl",
        "\n".join(
            json.dumps({"text": t, "is": k}) for t, k in zip("abcdab", ["x", "y"] * 3, strict=True)
        ),
        config={"id2label": {"0": "y", "1": "x", "2": "z"}},
    )
    found = load(path, ends("ids", output="logits", width=3), text={"label": "is"})
    assert found.class_names == ("y", "x", "z")
    for split in found.splits.values():
        first = np.asarray(split.arrays["ids"])[:, 1]
        assert split.y is not None
        np.testing.assert_array_equal(split.y, np.isin(first, (A, C)))


def test_classes_are_the_models_whatever_their_case(write: Write) -> None:
    names = {"id2label": {"0": "POSITIVE", "1": "NEGATIVE", "2": "neutral"}}
    path = write("d.csv", "text,k\n" + "a,Positive\nb,negative\nc,neutral\n" * 3, config=names)
    found = load(path, ends("ids", output="logits", width=3), text={"label": "k"})
    assert found.class_names == ("POSITIVE", "NEGATIVE", "neutral")
    for split in found.splits.values():
        first = np.asarray(split.arrays["ids"])[:, 1]
        assert split.y is not None
        np.testing.assert_array_equal(split.y, first - A)
    assert (
        "labels are the model's classes but for upper and lower case: 'Positive' is 'POSITIVE', "
        "'negative' is 'NEGATIVE'" in found.assumed
    )


def test_tags_are_the_models_whatever_their_case(write: Write) -> None:
    names = {"id2label": {"0": "B-loc", "1": "O"}}
    rows_ = [{"tokens": ["a", "b"], "tags": ["O", "B-LOC"]}] * 6
    path = write("d.jsonl", "\n".join(json.dumps(row) for row in rows_), config=names)
    found = load(path, ends("ids", output="logits", width=2), text={"label": "tags"})
    assert found.class_names == ("B-loc", "O")
    assert found.evaluate.y is not None
    assert found.evaluate.y[0].tolist() == [-1, 1, 0, -1]


@pytest.mark.parametrize("names", [["Yes", "YES", "no"], ["YES", "never"]], ids=["two", "none"])
def test_a_class_that_case_does_not_tell_is_named(write: Write, names: list[str]) -> None:
    config = {"id2label": {str(i): name for i, name in enumerate(names)}}
    path = write("d.csv", "text,k\n" + "a,yes\nb,no\n" * 4, config=config)
    with pytest.raises(ConfigError, match=r"labels: class: unknown '(yes|no)'"):
        load(path, ends("ids", output="logits", width=3), text={"label": "k"})


@pytest.mark.parametrize(
    ("labels", "dtype", "metric"),
    [("0 1 2 1 0 2", "int64", "top1"), ("0.5 1.0 2 3 4 5.5", "float32", "mse")],
)
def test_numbers_are_classes_when_they_are_whole(
    write: Write, labels: str, dtype: str, metric: str
) -> None:
    lines = [f"a,{label}" for label in labels.split()]
    found = load(write("d.csv", "\n".join(["text,y", *lines])), text={"label": "y"})
    assert found.metric == metric
    given = np.concatenate([s.y for s in found.splits.values() if s.y is not None])
    assert given.dtype == dtype
    assert sorted(given.tolist()) == sorted(map(float, labels.split()))


def test_tags_are_of_the_first_token_of_each_word(write: Write) -> None:
    rows_ = [
        {"tokens": ["a", "bxx", "c"], "tags": ["O", "B-X", "I-X"]},
        {"tokens": ["d", "e"], "tags": ["B-X", "O"]},
    ] * 4
    path = write("d.jsonl", "\n".join(json.dumps(row) for row in rows_))
    model = ends("input_ids", "attention_mask", output="logits", width=3)
    found = load(path, model, text={"label": "tags"})
    assert (found.metric, found.class_names) == ("span_f1", ("B-X", "I-X", "O"))
    seen = set()
    for split in found.splits.values():
        assert split.y is not None
        for ids, y in zip(np.asarray(split.arrays["input_ids"]), split.y, strict=True):
            seen.add((tuple(ids.tolist()), tuple(y.tolist())))
    assert seen == {
        ((CLS, A, B, X, X, C, SEP), (-1, 2, 0, -1, -1, 1, -1)),
        ((CLS, D, ID["e"], SEP, PAD, PAD, PAD), (-1, 0, 2, -1, -1, -1, -1)),
    }


def test_classes_have_the_names_that_a_toml_says(write: Write) -> None:
    rows_ = [{"tokens": ["a", "b"], "tags": [1, 2]}, {"tokens": ["c"], "tags": [0]}] * 3
    write("d.jsonl", "\n".join(json.dumps(row) for row in rows_))
    write("d.csv", "text,k\n" + "a,0\nb,2\nc,1\n" * 3)
    model = ends("input_ids", output="logits", width=3)
    for data, label, names, metric in (
        ("d.jsonl", "tags", ("O", "B-X", "I-X"), "span_f1"),
        ("d.csv", "k", ("x", "y", "z"), "top1"),
    ):
        toml = write(
            "set.toml",
            f'schema = 1\nname = "set"\ndata = "{data}"\nclass_names = {json.dumps(names)}\n'
            f'[text]\nlabel = "{label}"\ntokenizer = "tokenizer.json"\n',
        )
        found = calib.load(str(toml), **loading(model))
        assert (found.class_names, found.metric) == (names, metric)


@pytest.mark.parametrize(("names", "told"), [("no yes", ("no", "yes")), ("LABEL_0 LABEL_1", ())])
def test_numbers_have_the_names_of_the_model(
    write: Write, names: str, told: tuple[str, ...]
) -> None:
    config = {"id2label": {str(i): name for i, name in enumerate(names.split())}}
    path = write("d.csv", "text,k\n" + "a,0\nb,1\n" * 4, config=config)
    found = load(path, ends("ids", output="logits", width=2), text={"label": "k"})
    assert (found.class_names, found.classes) == (told, 2)


def test_a_column_that_is_called_label_is_not_left_out_in_silence(write: Write) -> None:
    path = write("d.csv", "text,id,Label\n" + "a,1,x\nb c,2,y\n" * 5)
    words = "column 'Label' is not read (--label Label takes it for labels)"
    assert words in load(path).assumed
    assert words not in load(path, text={"label": "Label"}).assumed
    assert not any(
        "is not read" in said for said in load(write("e.csv", "text\na\nb\nc\n")).assumed
    )


def test_words_and_tags_line_by_line(write: Write) -> None:
    lines = "-DOCSTART- -X- O\n\na NN O\nb NNP B-X\n\n# text\nc O\n\n" * 3
    model = ends("input_ids", output="logits", width=2)
    path = write("d.conll", lines)
    found = load(path, model)
    named = load(path, model, text={"label": "tags"})
    assert (named.metric, named.class_names) == (found.metric, found.class_names)
    assert (found.metric, found.class_names) == ("span_f1", ("B-X", "O"))
    labels = np.concatenate([s.y for s in found.splits.values() if s.y is not None])
    assert sorted(labels.tolist()) == sorted([[-1, 1, 0, -1], [-1, 1, -1, -1]] * 3)


def test_numbers_of_tags_are_judged_token_by_token(write: Write) -> None:
    rows_ = [{"tokens": ["a", "b"], "tags": [1, -100]}, {"tokens": ["c"], "tags": [0]}] * 3
    path = write("d.jsonl", "\n".join(json.dumps(row) for row in rows_))
    found = load(path, text={"label": "tags"})
    assert found.metric == "token_accuracy"
    labels = np.concatenate([s.y for s in found.splits.values() if s.y is not None])
    assert sorted(map(tuple, labels.tolist())) == [(-1, 0, -1, -1)] * 3 + [(-1, 1, -1, -1)] * 3


def test_columns_by_number_where_no_line_names_them(write: Write) -> None:
    path = write("d.csv", 'a,"b, c",1.5\nb,c,2.5\nc,d,0.5\nd,a,3.5\n')
    found = load(path, text={"columns": ["1", "2"], "label": "3"})
    assert sum(len(s) for s in found.splits.values()) == 8
    assert [CLS, B, SEP] in [row[:3] for row in rows(found, "input_ids")]


def test_length_is_the_99th_percentile_and_what_is_cut_is_counted(write: Write) -> None:
    lines = ["a b"] * 299 + ["a b c d e f g h"]
    found = load(write("d.txt", "\n".join(lines)))
    assert np.asarray(found.fit.arrays["input_ids"]).shape[1] == 4
    assert [CLS, A, B, SEP] in rows(found, "input_ids")
    assert any(
        "4 tokens, the 99th percentile; 1 of 300 samples are longer and were cut" in said
        for said in found.assumed
    )


@pytest.mark.parametrize(
    ("beside", "length"),
    [
        ({"config": {"max_position_embeddings": 5}}, 5),
        ({"config": {"max_position_embeddings": 8, "model_type": "roberta", "pad_token_id": 1}}, 6),
        ({"tokenizer_config": {"model_max_length": 7}}, 7),
        ({"sentence_bert_config": {"max_seq_length": 3}}, 3),
        ({}, 10),
    ],
)
def test_length_is_no_more_than_the_model_takes(
    write: Write, beside: dict[str, Any], length: int
) -> None:
    found = load(write("d.txt", "a b c d e f g h\n" * 9, **beside))
    cut = [CLS, A, B, C, D, ID["e"], ID["f"], ID["g"], ID["h"]][: length - 1]
    assert rows(found, "input_ids") == [[*cut, SEP]] * 9


def test_texts_longer_than_max_length_are_cut(write: Write) -> None:
    found = load(write("d.txt", "a b c d\nb\n" * 5), text={"max_length": 4})
    assert rows(found, "input_ids")[0] == [CLS, A, B, SEP]


def test_more_than_the_model_has_positions_is_refused(write: Write) -> None:
    said = "--max-length 9: the model takes at most 8 tokens"
    with pytest.raises(ConfigError, match=said):
        load(
            write("d.txt", "a b\n" * 9, config={"max_position_embeddings": 8}),
            text={"max_length": 9},
        )


def test_files_are_splits_by_a_word_of_their_names(write: Write) -> None:
    for name, word in (("train", "a"), ("dev", "b"), ("test", "c")):
        write(f"set-{name}.txt", f"{word}\n" * 4)
    toml = write(
        "set.toml",
        'schema = 1\nname = "set"\ndata = ["set-train.txt", "set-dev.txt", "set-test.txt"]\n'
        '[text]\ntokenizer = "tokenizer.json"\n',
    )
    found = calib.load(str(toml), **loading(ENCODER))
    for split, word in zip(found.splits.values(), (A, B, C), strict=True):
        assert np.asarray(split.arrays["input_ids"]).tolist() == [[CLS, word, SEP]] * 4


def test_example_of_the_documentation_is_understood(write: Write) -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "calibration.md"
    parts = page.read_text(encoding="utf-8").split("```toml\n")[1:]
    (example,) = (text for part in parts if "[text]" in (text := part.split("```")[0]))
    for name in ("train", "dev", "test"):
        write(f"sts-{name}.csv", "sentence1,sentence2,score\n" + "a,b,1\nc,d,2.5\n" * 2)
    found = calib.load(str(write("set.toml", example)), **loading(ENCODER))
    assert [len(split) for split in found.splits.values()] == [8, 8, 8]
    assert found.metric == "pair_spearman"


def test_a_toml_stays_in_its_folder(write: Write) -> None:
    write("d.txt", "a\n" * 4)
    toml = write(
        "set.toml",
        'schema = 1\nname = "set"\ndata = "d.txt"\n[text]\ntokenizer = "../tokenizer.json"\n',
    )
    with pytest.raises(
        ConfigError, match=r"text\.tokenizer: '\.\./tokenizer\.json' leaves the folder"
    ):
        calib.load(str(toml), **loading(ENCODER))


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": ["mean", "cls"]}, "cls+mean"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, "cls+mean"),
        ({"pooling_mode_weightedmean_tokens": True}, None),
    ],
    ids=["flags", "name", "names", "two", "unknown"],
)
def test_pooling_of_the_folder_is_told(
    write: Write, config: dict[str, Any], pooling: str | None
) -> None:
    path = write("d.txt", "a\n" * 4)
    (path.parent / "1_Pooling").mkdir()
    (path.parent / "1_Pooling" / "config.json").write_text(json.dumps(config))
    assert calib.describe(load(path))["text"]["pooling"] == pooling


def test_pooling_is_read_where_the_modules_say_it_is(write: Write) -> None:
    modules = [
        {"type": "sentence_transformers.models.Transformer", "path": ""},
        {"type": "sentence_transformers.models.Pooling", "path": "pool"},
    ]
    path = write("d.txt", "a\n" * 4, modules=modules)
    for folder, mode in (("pool", "max"), ("1_Pooling", "mean")):
        (path.parent / folder).mkdir()
        (path.parent / folder / "config.json").write_text(json.dumps({"pooling_mode": mode}))
    assert calib.describe(load(path))["text"]["pooling"] == "max"


def test_what_is_read_is_told(write: Write) -> None:
    told = calib.describe(load(write("d.txt", "a b\n" * 4)))["text"]
    assert (told["length"], told["columns"], told["cut"]) == (4, ["text"], 0)


def test_texts_go_with_their_samples(write: Write) -> None:
    found = load(write("d.txt", "\n".join(["a", "b", "c", "d", "e", "f", "g", "h"] * 3)))
    assert found.text is not None
    for split in found.splits.values():
        assert split.rows is not None
        for row, ids in zip(split.rows, np.asarray(split.arrays["input_ids"]), strict=True):
            assert ID[str(found.text.texts[row])] == ids[1]


def test_a_byte_order_mark_quoted_lines_and_empty_texts(write: Write) -> None:
    data = '\ufefftext,k\r\n"a\r\nb",0\r\n"c ""d""",1\r\n  ,0\r\na,1\r\nb,0\r\n'
    found = load(write("d.csv", data.encode()), text={"label": "k"})
    assert [CLS, A, B, SEP] in rows(found, "input_ids")
    assert sum(len(s) for s in found.splits.values()) == 4
    assert any("1 row of" in said and "without text is left out" in said for said in found.assumed)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_byte_order_mark_says_which_unicode_it_is(write: Write, encoding: str) -> None:
    data = "\ufefftext,k\r\na b,0\r\nc,1\r\na,0\r\nb,1\r\n".encode(encoding)
    found = load(write("d.csv", data), text={"label": "k"})
    assert [CLS, A, B, SEP] in rows(found, "input_ids")
    assert sum(len(s) for s in found.splits.values()) == 4


def test_a_field_may_be_as_long_as_its_file(write: Write) -> None:
    long = " ".join(["a"] * 100_000)  # above the 128 KiB that the module csv takes by itself
    found = load(write("d.csv", f"text\nb\n{long}\nc\nd\n"), text={"max_length": 5})
    assert [CLS, A, A, A, SEP] in rows(found, "input_ids")


@pytest.mark.parametrize(
    ("name", "data", "text", "message"),
    [
        ("d.csv", "one,two\na,b\n", {"columns": ["text"]}, "no column 'text'; there are: 'one', 'two'"),
        ("d.csv", "", {"columns": ["text"]}, "is empty; its first line names the columns"),
        ("d.csv", "one,two\na,b\n", {}, "which column has the text"),
        ("d.csv", "text\na\n" + '"b', {}, "line 3: unexpected end of data; is a quote left open"),
        ("d.txt", "a\n".encode("utf-16")[:-1], {}, "mark of UTF-16, but is none: truncated data"),
        ("d.txt", "a\nb\n".encode("utf-16-le"), {}, "such as iconv -f UTF-16LE -t UTF-8"),
        ("d.csv", b"text\n\xff\xfe\n", {}, "line 2: byte 0xff is not UTF-8"),
        ("d.csv", "text,y\na,1\nb\n", {"label": "y"}, "line 3: has 1 column, column 2 is wanted"),
        ("d.csv", "text,y\na,1\nb,\n", {"label": "y"}, "line 3: no label"),
        ("d.csv", "text\n", {}, "holds no rows"),
        ("d.csv", "text\n \n", {"columns": ["text"]}, "all texts are empty"),
        ("d.csv", "p,q\na,\n,b\n", {"columns": ["p", "q"]}, "no row has a text in each of 2 columns"),
        ("d.csv", "p,q,s\na,b,1\nb,c,bad\n", {"columns": ["p", "q"], "label": "s"}, "line 3: label 'bad' is no number"),
        ("d.csv", "text,y\na,1.5\nb,1e99\n", {"label": "y"}, "line 3: label '1e99' is no number of float32"),
        ("d.txt", "a\n", {"columns": ["1", "2"]}, "no column '2'; there are: '1'"),
        ("d.jsonl", '{"tokens": ["a"], "t": [99999999999999999999]}\n', {"label": "t"}, "line 1: tag 9999"),
        ("d.jsonl", '{"text": "a"}\n{"text": \n', {}, "line 2: no JSON"),
        ("d.jsonl", '{"text": "a"}\n[1]\n', {}, "line 2: got [1], allowed: a JSON object"),
        ("d.jsonl", '{"text": "a"}\n{"txt": "b"}\n', {}, "line 2: no column 'text'; there are: 'txt'"),
        ("d.jsonl", '{"text": 3}\n', {}, "line 1: got 3, allowed: a text"),
        ("d.jsonl", '{"text": "a\\ud800"}\n', {}, "line 1: character 1 is half of one (\\ud800)"),
        ("d.jsonl", '{"tokens": ["a"], "t": ["O", "O"]}\n', {"label": "t"}, "line 1: got 2 tags, allowed:"),
        ("d.csv", "t;k\na;1\nb;2\n", {"columns": ["t"]}, "parted by ';'? save it with commas"),
        ("d.conll", "a O\nb\n", {}, "line 2: got 'b', allowed: a word and its tag"),
        ("d.txt", b"a\nb\xe9\n", {}, "line 2: byte 0xe9 is not UTF-8"),
        ("d.txt", "a\n", {"tokenizer": "nowhere.json"}, "nowhere.json: no such file"),
        ("d.txt", "a\n", {"max_length": 0}, "max_length"),
        ("d.txt", "a\n", {"max_length": 1}, "1 tokens have no room for text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(
    write: Write, name: str, data: str | bytes, text: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(name, data), text=text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_quotes_of_a_tsv_are_characters(write: Write) -> None:
    path = write("d.tsv", 'text\tk\n"a b\t0\nb\t1\nc" d\t0\na\t1\n')
    found = load(path, text={"label": "k"})
    assert found.text is not None
    assert sorted(map(str, found.text.texts)) == ['"a b', "a", "b", 'c" d']


def test_an_id_beyond_the_models_table_is_told_at_once(write: Write) -> None:
    def loaded(rows: int) -> Calib:
        of_model = calib.OfModel(lookups=Lookups({"input_ids": rows}))
        return load(write("d.txt", "a\na bx\nc\nc\n"), of_model=of_model)

    assert len(loaded(X + 1).fit) > 0
    with pytest.raises(ConfigError) as caught:
        loaded(X)
    assert (
        f"input 'input_ids' has the id {X} (token '##x'), the model's table ends at {X - 1} "
        "(1 of 4 samples have such ids); "
        "tokenise with the tokenizer that the model was trained with (of texts: --tokenizer)"
    ) in str(caught.value)


def test_an_input_that_no_tokenizer_gives_is_named(write: Write) -> None:
    with pytest.raises(ConfigError, match="gives nothing for the model's input 'pixel_values'"):
        load(write("d.txt", "a\n" * 4), ends("input_ids", "pixel_values"))


def test_a_tokenizer_that_is_none_is_refused(write: Write) -> None:
    path = write("d.txt", "a\n" * 4, tokenizer=[1, 2])
    with pytest.raises(ConfigError, match=r"not a tokenizer\.json"):
        load(path)


def test_a_model_without_a_tokenizer_beside_it_says_so(write: Write) -> None:
    path = write("d.txt", "a\n" * 4)
    (path.parent / "m").mkdir()
    with pytest.raises(ConfigError, match=r"there is none in .*/m; give it with --tokenizer"):
        calib.load(str(path), model=str(path.parent / "m"), **loading(ENCODER))
    assert len(calib.load(str(path), model=str(path.parent), **loading(ENCODER)).fit) == 2


def test_options_of_texts_are_for_texts(tmp_path: Any) -> None:
    np.save(tmp_path / "x.npy", np.zeros((4, 2), np.float32))
    with pytest.raises(ConfigError, match="is no text; --text, --label"):
        calib.load(str(tmp_path / "x.npy"), text={"columns": ["a"]})
