"""`squeeze calib`: what is read from a calibration set."""

from __future__ import annotations

from typing import Any

import click

from squeeze.cli import options
from squeeze.cli.answer import Answer, Json
from squeeze.cli.completing import NameOrFile
from squeeze.cli.screen import console


@click.command("calib", short_help="What is read from a calibration set.")
@click.argument("source", required=False, type=NameOrFile("calib"))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option("--model", metavar="MODEL", help="For several inputs: arrays are called after its.")
@options.texts
@options.as_json
def calib_command(
    source: str | None,
    seed: int,
    model: str | None,
    as_json: bool,
    **given: Any,  # Any: click
) -> Answer:
    """What squeeze reads from a calibration set (SOURCE as for compile --calib), or the bundled names."""
    from squeeze import calib

    inputs = said = None
    if model is not None:
        from squeeze.teacher import input_names
        from squeeze.teacher.ends import said_of

        inputs, said = input_names(model, None), said_of(model, None)
    found: Json = (
        {"bundled": calib.names()}
        if source is None
        else calib.describe(
            calib.load(
                source,
                seed=seed,
                inputs=inputs,
                ends=None if said is None else (said.inputs, said.outputs),
                text=options.take_text(given)["text"],
                model=model,
                of_model=None if said is None else said.data,
            )
        )
    )
    if not as_json:
        from squeeze.console.nested import show_nested

        show_nested(console(), found)
    return Answer(found)
