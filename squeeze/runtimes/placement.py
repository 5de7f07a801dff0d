"""Which provider of ONNX Runtime runs which node, and a session that is refused as soon as one falls back to the CPU.

The runtime itself only says that some node fell back. Its name is found by a second session, which may fall back and
records what is where.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import onnxruntime as ort

from squeeze.runtimes.ort import ORT_ERRORS
from squeeze.runtimes.runtime import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

CPU = "CPUExecutionProvider"
_NO_FALLBACK = "session.disable_cpu_ep_fallback"
_RECORD = "session.record_ep_graph_assignment_info"
_QUANTISERS = ("QuantizeLinear", "DequantizeLinear")
# What the runtime's layout and Q/DQ rewrites add to a node's name.
_ADDED = re.compile(r"(_token_\d+|/duplicated(_\d+)?)$")


@dataclass(frozen=True)
class Placed:
    """A node as the runtime has it after its first rewrites. name: that of the file where it was rewritten from one."""

    name: str
    op: str
    provider: str


class FellBack(Exception):
    """Nodes that no provider but the CPU's takes; `all_of_it` are the nodes of the whole graph."""

    def __init__(self, left: Sequence[Placed], all_of_it: Sequence[Placed]) -> None:
        super().__init__(left, all_of_it)
        self.left = tuple(left)
        self.all_of_it = tuple(all_of_it)


class NotLoaded(Exception):
    """The provider is not in this ONNX Runtime, or its libraries do not load; the message says which of the two."""


def can_tell() -> bool:
    """Whether this ONNX Runtime records what is where."""
    return hasattr(ort.InferenceSession, "get_provider_graph_assignment_info")


def open_without_cpu(
    model: Path | bytes,
    options: Callable[[bool], ort.SessionOptions],
    providers: Sequence[str | tuple[str, dict[str, str]]] | None = None,
) -> ort.InferenceSession:
    """A session none of whose nodes is on the CPU's provider.

    options: makes new ones, told whether the session is only opened to see what is where; providers: the wanted one
    first, None where the options have them. Raises `FellBack`, `NotLoaded`, and what the runtime raises for a model of
    which no node falls back.
    """
    wanted = None if not providers else _name(providers[0])
    if wanted is not None and wanted not in ort.get_available_providers():
        raise NotLoaded(f"onnxruntime {ort.__version__} has no {wanted}")
    try:
        return _open(model, options(False), providers, _NO_FALLBACK)
    except ORT_ERRORS as e:
        try:
            looked_at = _open(model, options(True), providers)
        except ORT_ERRORS:
            raise e from None
        if wanted is not None and wanted not in looked_at.get_providers():
            raise NotLoaded(f"the libraries of {wanted} do not load") from e
        nodes = placements(looked_at)
        left = [node for node in nodes if node.provider == CPU]
        if not left:
            raise
        raise FellBack(left, nodes) from e


def placements(opened: ort.InferenceSession) -> list[Placed]:
    """All nodes of a session of `open_without_cpu`."""
    return [
        Placed(_ADDED.sub("", node.name), node.op_type, part.ep_name)
        for part in opened.get_provider_graph_assignment_info()
        for node in part.get_nodes()
    ]


def first_left(fell: FellBack, order: Sequence[str], why: str) -> Refusal:
    """The refusal that names the first node that fell back, and how many did. order: names of the file's nodes.

    A quantiser is named only where nothing else fell back: it goes where its neighbours go.
    """
    places = {name: i for i, name in enumerate(order)}
    left = sorted(fell.left, key=lambda node: places.get(node.name, len(places)))
    named = next((node for node in left if node.op not in _QUANTISERS), left[0])
    return Refusal(
        named.name,
        f"{named.op} would run on the CPU, as {len(left)} of {len(fell.all_of_it)} operators would; {why}",
    )


def _open(
    model: Path | bytes,
    options: ort.SessionOptions,
    providers: Sequence[Any] | None,  # Any: names, or pairs of a name and its options
    *entries: str,
) -> ort.InferenceSession:
    for entry in (_RECORD, *entries):
        options.add_session_config_entry(entry, "1")
    source = model if isinstance(model, bytes) else str(model)
    # Else the Python face opens it again on the CPU by itself, and says so on stdout.
    kept = {"enable_fallback": 0}
    if providers is None:
        return ort.InferenceSession(source, options, **kept)
    return ort.InferenceSession(source, options, providers=list(providers), **kept)


def _name(provider: str | tuple[str, dict[str, str]]) -> str:
    return provider if isinstance(provider, str) else provider[0]
