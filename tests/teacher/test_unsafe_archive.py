"""Archives that were altered to run code, to leave their folder or to fill the memory: refused, and nothing runs."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from squeeze.errors import ConfigError, SqueezeError, UnsupportedError
from tests.teacher.conftest import load, rewrite

Members = dict[str, bytes]
PROGRAM = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"


class Touch:
    """Unpickled, it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def edit(members: Members, name: str, change: Callable[[Any], None]) -> None:
    content = json.loads(members[name])
    change(content)
    members[name] = json.dumps(content).encode()


def graph_of(program: Any) -> Any:
    return program["graph_module"]["graph"]


def size_of_input(program: Any) -> Any:
    graph = graph_of(program)
    return graph["tensor_values"][graph["inputs"][-1]["as_tensor"]["name"]]["sizes"][0]


def code(marker: Path) -> str:
    return f"__import__('pathlib').Path({str(marker)!r}).touch()"


def pickled_weight(members: Members, marker: Path) -> None:
    members["data/weights/evil"] = torch_saved(Touch(marker))

    def change(config: Any) -> None:
        first = next(iter(config["config"].values()))
        first.update(path_name="evil", use_pickle=True, tensor_meta=None)

    edit(members, WEIGHTS, change)


def pickled_constant(name: str) -> Callable[[Members, Path], None]:
    def alter(members: Members, marker: Path) -> None:
        members[f"data/constants/{name}"] = pickle.dumps(Touch(marker))
        entry = {"path_name": name, "is_param": False, "use_pickle": True, "tensor_meta": None}
        edit(members, CONSTANTS, lambda c: c["config"].update(evil=entry))

    return alter


def sample_inputs(members: Members, marker: Path) -> None:
    (name,) = (n for n in members if n.startswith("data/sample_inputs/"))
    members[name] = torch_saved(Touch(marker))


def legacy_weights(members: Members, marker: Path) -> None:
    members["data/weights/model.pt"] = torch_saved(Touch(marker))


def symbolic_size(members: Members, marker: Path) -> None:
    edit(
        members,
        PROGRAM,
        lambda p: size_of_input(p).update(as_expr={"expr_str": code(marker), "hint": None}),
    )


def size_that_is_a_list(members: Members, marker: Path) -> None:
    edit(
        members,
        PROGRAM,
        lambda p: size_of_input(p).update(as_expr={"expr_str": [code(marker)], "hint": None}),
    )


def hint_that_is_text(members: Members, marker: Path) -> None:
    edit(
        members,
        PROGRAM,
        lambda p: size_of_input(p)["as_expr"].update(hint={"as_int": code(marker)}),
    )


def guards(members: Members, marker: Path) -> None:
    edit(members, PROGRAM, lambda p: p.update(guards_code=[f"{code(marker)} is None"]))


def target(name: str) -> Callable[[Members, Path], None]:
    def alter(members: Members, marker: Path) -> None:
        def change(program: Any) -> None:
            node = graph_of(program)["nodes"][0]
            node["target"] = name
            text = {"name": "", "arg": {"as_string": str(marker)}, "kind": 1}
            node["inputs"] = [node["inputs"][0], text]

        edit(members, PROGRAM, change)

    return alter


def node_name(members: Members, marker: Path) -> None:
    evil = f"x = {code(marker)}; y"
    edit(members, PROGRAM, lambda p: graph_of(p)["nodes"][0].update(name=evil))


def parameter_name(members: Members, marker: Path) -> None:
    evil = f'a"); {code(marker)}; ("'

    def change(program: Any) -> None:
        program["graph_module"]["signature"]["input_specs"][0]["parameter"]["parameter_name"] = evil

    edit(members, PROGRAM, change)

    def rename(config: Any) -> None:
        table = config["config"]
        table[evil] = table.pop(next(iter(table)))

    edit(members, WEIGHTS, rename)


def tree_context(members: Members, marker: Path) -> None:
    context = json.dumps({"default_factory_module": "antigravity", "default_factory_name": "x"})
    spec = {"type": "collections.defaultdict", "context": context, "children_spec": []}

    def change(program: Any) -> None:
        signature = program["graph_module"]["module_call_graph"][0]["signature"]
        signature["in_spec"] = json.dumps([1, spec])

    edit(members, PROGRAM, change)


def torch_saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


REFUSED: dict[str, Callable[[Members, Path], None]] = {
    "hint_that_is_text": hint_that_is_text,
    "legacy_weights": legacy_weights,
    "node_name": node_name,
    "parameter_name": parameter_name,
    "pickled_custom_object": pickled_constant("custom_obj_0"),
    "pickled_opaque_object": pickled_constant("opaque_obj_0"),
    "pickled_tensor_constant": pickled_constant("tensor_0"),
    "pickled_weight": pickled_weight,
    "size_that_is_a_list": size_that_is_a_list,
    "symbolic_size": symbolic_size,
    "target_dunder": target("torch.ops.aten.__class__.default"),
    "target_from_file": target("torch.ops.aten.from_file.default"),
    "target_hub": target("torch.hub.load"),
    "target_methodcaller": target("_operator.methodcaller"),
    "target_save": target("torch.ops.aten.save.default"),
}
# Parts that are not needed: they are left out, and the rest loads.
IGNORED: dict[str, Callable[[Members, Path], None]] = {
    "guards": guards,
    "sample_inputs": sample_inputs,
    "tree_context": tree_context,
}


@pytest.mark.parametrize("name", REFUSED)
def test_altered_archive_is_refused_and_runs_nothing(
    name: str, vector_pt2: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "executed"
    path = rewrite(vector_pt2, tmp_path / "evil.pt2", lambda m: REFUSED[name](m, marker))
    with pytest.raises((ConfigError, UnsupportedError)) as caught:
        load(path, tmp_path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 500
    assert not marker.exists()
    assert not (tmp_path / "step").exists()


@pytest.mark.parametrize("name", IGNORED)
def test_parts_that_could_run_code_are_left_out(
    name: str, vector_pt2: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "executed"
    path = rewrite(vector_pt2, tmp_path / "evil.pt2", lambda m: IGNORED[name](m, marker))
    assert load(path, tmp_path).input.shape == (6,)
    assert not marker.exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["pickled_weight", "sample_inputs", "symbolic_size"])
def test_the_attacks_are_real_when_torch_opens_the_file(
    name: str, vector_pt2: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "executed"
    attack = {**REFUSED, **IGNORED}[name]
    path = rewrite(vector_pt2, tmp_path / "evil.pt2", lambda m: attack(m, marker))
    with contextlib.suppress(Exception):
        torch.export.load(path)
    assert marker.exists()


def test_compiled_code_is_not_loaded(vector_pt2: Path, tmp_path: Path) -> None:
    def add(members: Members) -> None:
        members["data/aotinductor/model/evil.so"] = b"\x7fELF"

    with pytest.raises(UnsupportedError, match=r"evil\.so"):
        load(rewrite(vector_pt2, tmp_path / "evil.pt2", add), tmp_path)


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "data\\evil", "C:evil"])
def test_members_that_leave_the_archive_are_refused(
    name: str, vector_pt2: Path, tmp_path: Path
) -> None:
    path = rewrite(vector_pt2, tmp_path / "evil.pt2", lambda m: None)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(name, b"x")
    with pytest.raises(ConfigError, match="outside of the archive"):
        load(path, tmp_path)


def test_member_that_is_there_twice_is_refused(vector_pt2: Path, tmp_path: Path) -> None:
    def add(members: Members) -> None:
        members["MODELS/model.json"] = members[PROGRAM]

    with pytest.raises(ConfigError, match="twice"):
        load(rewrite(vector_pt2, tmp_path / "evil.pt2", add), tmp_path)


def test_compressed_members_are_refused_unread(vector_pt2: Path, tmp_path: Path) -> None:
    path = rewrite(vector_pt2, tmp_path / "bomb.pt2", lambda m: None)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("model/data/weights/bomb", bytes(50_000_000))
    assert path.stat().st_size < 1_000_000
    with pytest.raises(ConfigError, match="compressed"):
        load(path, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"sizes": [{"as_int": 10**9}, {"as_int": 6}]},
        {"storage_offset": {"as_int": 10**9}},
        {"storage_offset": {"as_int": -1}},
        {"strides": [{"as_int": 10**6}, {"as_int": 1}]},
        {
            "strides": [{"as_int": 0}, {"as_int": 0}],
            "sizes": [{"as_int": 10**6}, {"as_int": 10**6}],
        },
    ],
    ids=["size", "offset", "negative", "stride", "repeated"],
)
def test_tensor_beyond_its_bytes_is_refused(
    change: dict[str, Any], vector_pt2: Path, tmp_path: Path
) -> None:
    def alter(members: Members) -> None:
        edit(members, WEIGHTS, lambda c: c["config"]["0.weight"]["tensor_meta"].update(change))

    with pytest.raises(ConfigError, match="does not fit"):
        load(rewrite(vector_pt2, tmp_path / "evil.pt2", alter), tmp_path)


def test_every_truncation_and_flipped_bytes_give_a_clear_error_or_a_model(
    vector_pt2: Path, tmp_path: Path
) -> None:
    whole = vector_pt2.read_bytes()
    path = tmp_path / "damaged.pt2"
    for end in range(1, len(whole), len(whole) // 13):
        path.write_bytes(whole[:end])
        with pytest.raises(SqueezeError, match=r"damaged\.pt2"):
            load(path, tmp_path)
    start = whole.index(b'"graph_module"')
    for at in range(start, start + 400, 40):
        path.write_bytes(whole[:at] + b"#" + whole[at + 1 :])
        with pytest.raises(SqueezeError, match=r"damaged\.pt2"):
            load(path, tmp_path)
