"""What is wrong with the recipe alone, or with the recipe on this target: said before anything is loaded or trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.steps.names import refuse_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from squeeze.device import Device
    from squeeze.goal import Reached
    from squeeze.spec import Goal, QuantPart, Recipe
    from squeeze.target import Target

# The methods that learn points, and what has points.
_LEARN_POINTS = ("differentiable", "mixed")
_HAVE_POINTS = ("auto", "codebook")


def refuse(recipe: Recipe, target: Target, *, data: bool) -> None:
    """Raises UnsupportedError for N:M sparsity, which no target profits from, and for few bits where the target takes
    no op that packs them; ConfigError for unknown names, and for keys that contradict each other. data: whether there
    is any."""
    refuse_names(recipe)
    if recipe.goal.max_bits is not None:
        raise ConfigError("goal.max_bits: is what quant.bits asks for; give that (--bits)")
    if recipe.goal.max_worst_class_drop is not None and not data:
        raise ConfigError(
            "--worst-class-drop (goal.max_worst_class_drop): classes are told by labels, and no data was given; give "
            "some that have them with --calib"
        )
    if recipe.prune.ratio and not data:
        raise ConfigError(
            "prune.ratio: pruning needs data to train with afterwards, and none was given; give it with --calib"
        )
    if recipe.prune.sparsity != "none":
        from squeeze.prune.nm import check_target

        n, m = recipe.prune.sparsity.split(":")
        check_target(target, int(n), int(m))
    _refuse_quant(recipe.quant, target)


def _refuse_quant(part: QuantPart, target: Target) -> None:
    if part.bits < 8 and not part.enabled:
        raise ConfigError(
            f"quant.bits = {part.bits}: quant.enabled = false switches quantisation off; take one of them away"
        )
    if part.weights_only:
        if not part.enabled or part.bits not in (4, 8):
            got = f"quant.bits = {part.bits}" if part.enabled else "quant.enabled = false"
            raise ConfigError(f"quant.weights_only: got {got}, allowed: 4 or 8 bits")
        if target.runtime.name != "onnxruntime":
            raise UnsupportedError(
                f"quant.weights_only: target '{target.name}' runs {target.runtime.name}, which has no MatMulNBits; "
                "allowed: targets of onnxruntime (squeeze targets)"
            )
        return
    if part.bits < 8 and not target.runtime.custom_ops:
        raise UnsupportedError(
            f"quant.bits = {part.bits}: target '{target.name}' takes no custom ops (custom_ops = false), and without "
            "them weights of few bits take the bytes of int8; use 8 bits or set custom_ops"
        )
    if part.method in _LEARN_POINTS and part.quantiser not in _HAVE_POINTS:
        raise ConfigError(
            f"quant.quantiser: '{part.quantiser}' has no points for quant.method '{part.method}' to learn; "
            f"use {' or '.join(_HAVE_POINTS)}"
        )
    # 'auto' is a codebook where points are learned.
    points = part.quantiser == "codebook" or part.method in _LEARN_POINTS
    if part.redistribute and (not points or part.method == "post-training"):
        raise ConfigError(
            f"quant.redistribute: moves levels of codebooks that are trained, not of quant.quantiser '{part.quantiser}'"
            f" with quant.method '{part.method}'; use quantiser 'codebook' or method 'mixed'"
        )
    if part.learned_levels and part.quantiser != "ternary":
        raise ConfigError(
            f"quant.learned_levels: is for quant.quantiser 'ternary', got '{part.quantiser}'; take one of them away"
        )


def refuse_goal(goal: Goal, device: Device) -> None:
    """Raises ConfigError for a limit of something that the device's runtime does not say."""
    source = "measured" if device.runtime is None else device.runtime.source
    if goal.max_latency_ms is not None and source in ("static", "emulated"):
        raise ConfigError(
            f"--latency: target '{device.name}' gives no times (its numbers are {source}); use --size, --ram or "
            "--drop, or a target that does (squeeze targets)"
        )
    for option, limit in (("--ram", goal.max_ram_bytes), ("--flash", goal.max_flash_bytes)):
        if limit is not None and source == "measured":
            raise _unsaid(option, device.name)


def refuse_unsaid(goal: Goal, name: str, everything: Iterable[Reached]) -> None:
    """Raises ConfigError for a limit of memory of which the device called `name` said nothing: it would look met."""
    for one in everything:
        for option, limit, got in (
            ("--ram", goal.max_ram_bytes, one.ram_bytes),
            ("--flash", goal.max_flash_bytes, one.flash_bytes),
        ):
            if limit is not None and got is None and one.runs:
                raise _unsaid(option, name)


def _unsaid(option: str, name: str) -> ConfigError:
    return ConfigError(
        f"{option}: target '{name}' does not say what a model takes of it; use --size, or a target of a "
        "microcontroller or an Ethos-U (squeeze targets)"
    )
