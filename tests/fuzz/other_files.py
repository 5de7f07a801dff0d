"""Files beside models, from a seed: TOML, settings, arrays, manifests and golden outputs as nobody writes them."""

from __future__ import annotations

import copy
import io
import json
import struct
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from squeeze import seal
from squeeze.interface import Interface, TensorSpec

Json = dict[str, Any]  # Any: JSON

SIZES = (
    *("0", "1", "2", "4", "64", "-1", "True", "4.0", "1e9", "'4'", "None", "()", "(4,)"),
    *(str(1 << 62), str(1 << 64), "9" * 5000, "0x" + "f" * 5000),
)
TYPES = (
    *(
        "'<f4'",
        "'>f4'",
        "'<f2'",
        "'|u1'",
        "'<i8'",
        "'|b1'",
        "'|O'",
        "'<U4'",
        "'|S0'",
        "'<c8'",
        "'<M8[s]'",
    ),
    *("'|V4'", "[('a', '<f4')]", "'f'", "''", "7", "['f4']", "'<f4' * 9"),
)
VALUES = (
    *(
        "1",
        "-1",
        "0.5",
        "nan",
        "inf",
        "1e999",
        "true",
        '"x"',
        '""',
        "[]",
        "{}",
        "1979-05-27",
        "'a\\nb'",
    ),
    *(
        "[" * 3000 + "]" * 3000,
        "{a=" * 3000 + "1" + "}" * 3000,
        "9" * 30,
        "9" * 5000,
        "0x" + "f" * 5000,
    ),
    *('"' + "n" * 3000 + '"', '"\\u001b[2J"', '["a", 1, []]', "[" * 60 + "]" * 60),
)
JSON_VALUES = (
    *(
        None,
        True,
        0,
        -1,
        1.5,
        1 << 70,
        "",
        "x",
        "\x1b[2J",
        "../../etc/passwd",
        [],
        {},
        [[]],
        {"a": None},
    ),
    *("float32", [1, 2], {"name": "x"}, float("1e308")),
)


def toml(text: str, random: Random) -> bytes:
    """A file of ours with a value, a line or a byte that is another."""
    lines = text.splitlines()
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(lines))
        kind = random.randrange(5)
        if kind == 0:
            key, _, _ = lines[at].partition("=")
            lines[at] = f"{key}= {random.choice(VALUES)}"
        elif kind == 1:
            lines.insert(at, random.choice(lines))
        elif kind == 2:
            del lines[at : at + random.randint(1, 2)]
        elif kind == 3:
            lines.insert(
                at,
                f"[{'.'.join(random.choice(('a', 'goal', 'cpu')) for _ in range(random.choice((1, 2, 900))))}]",
            )
        else:
            lines.insert(
                at, f"{random.choice(('seed', 'name', 'x.y', 'schema'))} = {random.choice(VALUES)}"
            )
        lines = lines or [""]
    data = bytearray("\n".join(lines).encode())
    if data and random.random() < 0.2:
        data[random.randrange(len(data))] = random.randrange(256)
    return bytes(data)


def setting(random: Random) -> str:
    """What may follow --set."""
    keys = (
        "goal.max_drop",
        "goal.max_worst_class_drop",
        "seed",
        "quant.bits",
        "distill.steps",
        "a",
        "goal",
        "search.families",
        "",
    )
    key = random.choice((*keys, ".".join(["goal"] * random.choice((2, 900))), "\x1b[2J"))
    return f"{key}{random.choice(('=', '', '=='))}{random.choice(VALUES)}"


def arrays(random: Random) -> bytes:
    """An .npz whose arrays have odd headers, or not the bytes that these tell of."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("x", "y"):
            archive.writestr(f"{name}.npy", array(random))
    data = bytearray(file.getvalue())
    if random.random() < 0.2:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(data)


def array(random: Random) -> bytes:
    shape = ", ".join(
        random.choice(SIZES) for _ in range(random.choice((0, 1, 2, 2, 2, 3, 40, 70)))
    )
    kind = random.choice(TYPES) if random.random() < 0.4 else "'<f4'"
    order = random.choice(("True", "False", "False", "0", "None"))
    header = f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': ({shape},), }}\n"
    if random.random() < 0.1:
        header = random.choice(
            ("(" * 900 + ")" * 900, "{}", "", "[", "{'descr': '<f4'}", "\0" * 64)
        )
    data = np.arange(256, dtype=np.float32).tobytes()[: random.choice((0, 3, 64, 1024, 1024))]
    magic = random.choice(
        (b"\x93NUMPY\x01\x00", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x09\x00", b"\x93NUMPX\x01\x00")
    )
    return magic + struct.pack("<H", min(len(header), 65535)) + header.encode()[:65535] + data


def package(folder: Path, random: Random) -> Path:
    """One that whoever wrote it sealed again: its manifest or its golden outputs say what they like."""
    x, y = np.ones((3, 4), np.float32), np.full((3, 4), 2, np.float32)
    golden: dict[str, Any] = {"inputs/x": x, "outputs/y": y, "float/y": y}  # Any: of any type
    whole = io.BytesIO()
    signature = {**copy.deepcopy(_SIGNATURE), "preprocess": {}}
    manifest: Json = {"schema": seal.SCHEMA, "signature": signature, "device": None, "name": "p"}
    kind = random.randrange(4)
    if kind == 0:
        _change(manifest, random)
    elif kind == 1:
        _change(signature, random)
    elif kind == 2:
        golden[random.choice(sorted(golden))] = random.choice(_golden_values())
    np.savez(whole, **golden)
    data = whole.getvalue()
    if kind == 3:
        data = random.choice(
            (b"", b"junk" * 9, b"PK\x03\x04" + b"j" * 90, arrays(random), data[: len(data) // 2])
        )
    files = {seal.MODEL: _double().SerializeToString(), seal.GOLDEN: data, seal.REPORT: b"<html>"}
    files |= {seal.BOM: b"{}"}
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    text = json.dumps(seal.sealed(manifest, files))
    if random.random() < 0.1:
        text = random.choice(
            ("[" * 90_000, '{"schema": ' + "9" * 5000 + "}", text[:-9], "null", "7", "[]")
        )
    (folder / seal.MANIFEST).write_text(text, encoding="utf-8")
    return folder


def _golden_values() -> list[Any]:  # Any: arrays of any type
    return [
        *(
            np.float32(1),
            np.ones((3, 5), np.float32),
            np.ones((0, 4), np.float32),
            np.ones((3, 4), complex),
        ),
        *(
            np.array([["a"] * 4] * 3),
            np.full((3, 4), np.nan, np.float32),
            np.ones((2, 4), np.float32),
        ),
        *(
            np.ones((3, 4), np.int8),
            np.full((3, 4), 5, "M8[s]"),
            np.ones((1,) * 30, np.float32),
            np.ones(3),
        ),
        *(np.zeros((3, 4), "V4"), np.ones((3, 4), ">f4"), np.full((3, 4), 1e308)),
    ]


def _change(found: Json, random: Random) -> None:
    """A value somewhere within is another, or gone."""
    place: Any = found  # Any: JSON
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = random.choice(keys)
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or random.random() < 0.25:
            break
        place = inner
    if random.random() < 0.3:
        del place[key]
    else:
        place[key] = random.choice(JSON_VALUES)


def _double() -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


_SIGNATURE = Interface(
    (TensorSpec("x", "float32", (4,)),), (TensorSpec("y", "float32", (4,)),)
).to_json()
