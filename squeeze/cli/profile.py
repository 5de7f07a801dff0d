"""`squeeze profile`: how fast a model is here, and where its time goes."""

from __future__ import annotations

from typing import Any

import click

from squeeze.cli import options
from squeeze.cli.answer import Answer
from squeeze.cli.completing import NameOrFile
from squeeze.cli.screen import console, steps_shown
from squeeze.errors import GoalMissed


@click.command("profile", short_help="Latency, memory, bytes, and time by op.")
@click.argument("model", type=click.Path())
@click.option(
    "--target",
    "targets",
    type=NameOrFile("targets"),
    multiple=True,
    help="A name of `squeeze targets` or a TOML file; several make a line each [host].",
)
@click.option(
    "--against", metavar="OTHER", help="A second model, timed interleaved with the first."
)
@click.option("--runs", default=200, show_default=True, type=click.IntRange(min=10))
@click.option(
    "--threads", type=click.IntRange(1, 1024), help="Threads of the runtime [the target's]."
)
@options.input_shapes
@options.input_numbers
@click.option(
    "--calib",
    type=NameOrFile("calib"),
    metavar="DATA",
    help="Accuracy on each target, beside the float model; as for compile.",
)
@options.metric
@options.texts
@click.option("--report", metavar="FILE", help="Write a page over all targets, FILE.html.")
@click.option(
    "--save-baseline", metavar="FILE", help="Keep these numbers, for --check-baseline later."
)
@click.option(
    "--check-baseline", metavar="FILE", help="Exit 4 where something is worse, beyond the noise."
)
@options.as_json
def profile_command(as_json: bool, **given: Any) -> Answer:  # Any: click
    """Latency, share of time by op, peak memory, bytes and MACs of MODEL (package, .onnx, .pt2, folder)."""
    given = options.take_text(given)
    targets = given.pop("targets") or ("host",)
    of_several = ("save_baseline", "check_baseline", "report")
    if targets == ("host",) and not any(given[name] for name in of_several):
        return _here(as_json, {k: v for k, v in given.items() if k not in of_several})
    from squeeze.commands.profile import profile_on

    with steps_shown(silent=as_json) as progress:
        found = profile_on(targets=targets, progress=progress, **given)
    if not as_json:
        from squeeze.console.across import show_across
        from squeeze.console.text import shown

        show_across(console(), found)
        for text in _about_baselines(found, given):
            console().print(shown(text))
    worse = found.get("worse")
    return Answer(
        found, GoalMissed(f"worse than the baseline: {'; '.join(worse)}") if worse else None
    )


def _about_baselines(found: dict[str, Any], given: dict[str, Any]) -> list[str]:  # Any: click
    """What was held to a baseline, and what was written."""
    said: list[str] = list(found.get("baseline_unlike", ()))
    if given["check_baseline"] and not found["worse"]:
        said.append(f"nothing is worse than in {given['check_baseline']}")
    said += [f"written: {given[name]}" for name in ("save_baseline", "report") if given[name]]
    return said


def _here(as_json: bool, given: dict[str, Any]) -> Answer:  # Any: click
    """This machine alone, down to its operators."""
    from squeeze.commands.profile import profile_model

    found = profile_model(**given)
    if not as_json:
        from squeeze.console.profile import show_profile

        show_profile(console(), found)
    return Answer(found)
