"""How many rows the tables have that a program looks the numbers of an input up in (aten.embedding)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from squeeze.teacher.pt2.schema import Json

_LOOKUP = "torch.ops.aten.embedding.default"
# What leaves the numbers as they are.
_PASSING = {
    f"torch.ops.aten.{name}"
    for name in (
        "_to_copy.default",
        "alias.default",
        "clone.default",
        "contiguous.default",
        "reshape.default",
        "squeeze.dim",
        "to.dtype",
        "to.device",
        "unsqueeze.default",
        "view.default",
    )
}


def id_tables(program: Json) -> dict[str, int]:
    """Input -> rows of the smallest table that its numbers choose from. program: checked and cleaned."""
    graph, signature = (program["graph_module"][key] for key in ("graph", "signature"))
    given = [spec["user_input"]["arg"] for spec in signature["input_specs"] if "user_input" in spec]
    names = [arg["as_tensor"]["name"] for arg in given if "as_tensor" in arg]
    origin = {name: name for name in names}
    found: dict[str, int] = {}
    for node in graph["nodes"]:
        tensors = [i["arg"]["as_tensor"]["name"] for i in node["inputs"] if "as_tensor" in i["arg"]]
        if node["target"] in _PASSING and tensors and tensors[0] in origin:
            made = [out["as_tensor"]["name"] for out in node["outputs"] if "as_tensor" in out]
            origin |= {name: origin[tensors[0]] for name in made}
        if node["target"] != _LOOKUP or len(tensors) != 2 or tensors[1] not in origin:
            continue
        rows = graph["tensor_values"][tensors[0]]["sizes"][0].get("as_int")
        if rows is not None:
            name = origin[tensors[1]]
            found[name] = min(found.get(name, rows), rows)
    return found
