"""What vela reports of a model, as our costs: traffic by memory, operators by node, and what they wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.runtimes import vela
from squeeze.runtimes.runtime import OperatorCost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squeeze.runtimes.tflite_nodes import NodeNames


def traffic_of(said: Mapping[str, float]) -> dict[str, int]:
    """Bytes of one run, by memory and kind; memories that the system does not have are left out."""
    kinds = {
        "features_read": "feature_map_read_bytes",
        "features_written": "feature_map_write_bytes",
        "weights_read": "weight_read_bytes",
        "weights_written": "weight_write_bytes",
    }
    found: dict[str, int] = {}
    for area in vela.AREAS:
        parts = {kind: int(said[f"{area}_{column}"]) for kind, column in kinds.items()}
        parts["other"] = int(said[f"{area}_total_bytes"]) - sum(parts.values())
        found.update({f"{area}_{kind}": count for kind, count in parts.items() if count > 0})
    return found


def operator_costs(report: vela.Report, names: NodeNames) -> tuple[OperatorCost, ...]:
    """Rows that take time, or that the CPU runs; an activation that is part of a convolution takes none of its own."""
    whole = sum(row.cycles for row in report.operators)
    return tuple(
        OperatorCost(
            name=names.of(row.name, row.op),
            op=row.op if row.step in (row.op, "Passthrough") else f"{row.op}: {row.step}",
            share=row.cycles / whole if whole else 0.0,
            cycles=row.cycles if row.on_npu else None,
            macs=row.macs if row.on_npu else None,
            on_accelerator=row.on_npu,
        )
        for row in report.operators
        if row.cycles or not row.on_npu
    )


def limit_of(report: vela.Report) -> str:
    """'arithmetic 89 %, off-chip flash 11 %': what operators wait for, by their cycles."""
    whole = sum(row.cycles for row in report.operators)
    if not whole:
        return "the CPU: nothing runs on the NPU"
    waits: dict[str, int] = {}
    for row in report.operators:
        waits[row.bound] = waits.get(row.bound, 0) + row.cycles
    shares = sorted(((cycles, bound) for bound, cycles in waits.items()), reverse=True)
    return ", ".join(
        f"{vela.bound_words(bound)} {100 * cycles / whole:.0f} %"
        for cycles, bound in shares
        if 200 * cycles >= whole
    )
