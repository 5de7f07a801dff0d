"""`squeeze fit`: on which of all targets does this model run, and what does it cost there; no data, seconds."""

from __future__ import annotations

from typing import Any

import click

from squeeze.cli import options
from squeeze.cli.answer import Answer
from squeeze.cli.completing import NameOrFile
from squeeze.cli.screen import console, steps_shown


@click.command("fit", short_help="Which devices it runs on, and what it costs there.")
@click.argument("model", type=click.Path())
@click.option(
    "--target",
    "targets",
    type=NameOrFile("targets"),
    multiple=True,
    help="A name of `squeeze targets` or a TOML file; may be repeated [all].",
)
@options.input_shapes
@options.as_json
def fit_command(as_json: bool, **given: Any) -> Answer:  # Any: click
    """One line for each target: whether MODEL (package, .onnx, .pt2, folder) fits, its cost, what limits it.

    Needs no data: where a device takes integers alone, the model is made int8 by made-up inputs first.
    """
    from squeeze.commands.fit import fit_model

    with steps_shown(silent=as_json) as progress:
        found = fit_model(progress=progress, **given)
    if not as_json:
        from squeeze.console.across import show_across

        show_across(console(), found)
    return Answer(found)
