"""What the steps of a network do that is the teacher with parts replaced."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze import graph
from squeeze.errors import PassError, UnsupportedError
from squeeze.seal import WEIGHTS
from squeeze.steps.searching import share_of
from squeeze.steps.shrinking_work import CHILD, bound_of, seen_of, to_graph
from squeeze.workdir import digest_file

if TYPE_CHECKING:
    import onnx_ir as ir

    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.feed import Feed
    from squeeze.front import Candidate
    from squeeze.interface import Interface
    from squeeze.run import At
    from squeeze.shrink.puzzle.choice import Piece
    from squeeze.spec import Goal, QuantPart, SearchPart
    from squeeze.students import Network
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON

_NO_PARTS = (
    "it has no stretch of two convolutions or more between maps that all of it passes through"
)


def parts_or_why(model: ir.Model, interface: Interface, example: Feed) -> tuple[int, str]:
    """How many parts of `model` can be replaced; 0 and the reason in one line where none can. Cheap: nothing is
    fitted."""
    import torch

    from squeeze.shrink import network_to_shrink
    from squeeze.shrink.puzzle.parts import parts

    try:
        network = network_to_shrink(model, interface, example)
        x = torch.from_numpy(example[interface.only_input.name].astype("float32"))
        count = len(parts(network, x))
    except UnsupportedError as e:
        return 0, str(e)
    return count, "" if count else _NO_PARTS


def piece_together(
    at: At,
    *,
    device: Device,
    base: Candidate,
    case: Case,
    pieces: tuple[Step, ...],
    part: SearchPart,
    quantising: QuantPart,
    goal: Goal,
    threads: int,
) -> Json:
    """Writes `child.onnx`, the teacher with the parts replaced that cost least inside the bounds, where there is such a
    choice."""
    from squeeze.shrink.puzzle.choice import Puzzle, choose, shares_of
    from squeeze.shrink.puzzle.parts import parts
    from squeeze.train.threads import torch_threads

    with torch_threads(threads), tempfile.TemporaryDirectory() as scratch:
        network, seen = network_of(base, case), seen_of(case, threads)
        example = seen.held.x[:2]
        puzzle = Puzzle(
            network, parts(network, example), tuple(_pieces(step) for step in pieces), example
        )

        def measure(made: Network) -> float:
            model = to_graph(made, case, device.numerics.opset)
            return share_of(device, case, quantising, model, Path(scratch), goal)

        try:
            shares, notes = shares_of(puzzle, measure, at.progress)
            found = choose(
                puzzle,
                shares,
                bound_of(device, case, part, goal),
                measured=part.measured,
                measure=measure,
            )
        except (PassError, UnsupportedError) as e:
            why = f"no part of the teacher can be replaced: {e}"
            return {"summary": why, "status": "skipped"}
        result: Json = {
            "summary": found.why,
            "tried": [note.to_json() for note in (*notes, *found.notes)],
        }
        if found.kinds is None:
            return {**result, "status": "skipped"}
        child = puzzle.put(found.kinds)
        loss = seen.lost(child)
        file = at.folder / CHILD
        graph.save(to_graph(child, case, device.numerics.opset), file)
    return {
        **result,
        "summary": f"{found.why}; joined, the loss is {loss:.3f} before any training",
        "digest": digest_file(file),
        "kinds": list(found.kinds),
        "loss": loss,
    }


def network_of(base: Candidate, case: Case) -> Network:
    """The teacher as torch has it, to be taken apart."""
    from squeeze.shrink import network_to_shrink

    example = case.data.feed(case.data.calibrate, 0, 2)
    return network_to_shrink(graph.load(base.file), case.interface, example)


def _pieces(step: Step) -> dict[str, Piece]:
    """What `fit_pieces` made of one part, by kind."""
    from safetensors.torch import load_file

    from squeeze.shrink.puzzle.choice import Piece
    from squeeze.students import Network

    weights = load_file(step.path / WEIGHTS)
    found = {}
    for kind, told in step.result["pieces"].items():
        made = Network(told["params"])
        made.load_state_dict({name: weights[f"{kind}/{name}"] for name in made.state_dict()})
        found[kind] = Piece(made.eval(), told["loss"])
    return found
