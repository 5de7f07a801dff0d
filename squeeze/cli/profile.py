"""`squeeze profile`: how fast a model is here, and where its time goes."""

from __future__ import annotations

from typing import Any

import click

from squeeze.cli import options
from squeeze.cli.answer import Answer
from squeeze.cli.screen import console


@click.command("profile", short_help="Latency, memory, bytes, and time by op.")
@click.argument("model")
@options.one_target
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
    "--calib", metavar="DATA", help="Compare the answers with those of --against; as for compile."
)
@click.option("--metric", help="As for compile; with --calib.")
@options.as_json
def profile_command(as_json: bool, **given: Any) -> Answer:  # Any: click
    """Latency, share of time by op, peak memory, bytes and MACs of MODEL (package, .onnx or .pt2)."""
    from squeeze.commands.profile import profile_model

    found = profile_model(**given)
    if not as_json:
        from squeeze.console.profile import show_profile

        show_profile(console(), found)
    return Answer(found)
