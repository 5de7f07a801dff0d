"""`squeeze lower`: our fused ops in a file that somebody else quantised."""

from __future__ import annotations

from typing import Any

import click

from squeeze.cli import options
from squeeze.cli.answer import Answer
from squeeze.cli.screen import console, steps_shown


@click.command("lower", short_help="Put our fused ops into a quantised file.")
@click.argument("model", type=click.Path())
@click.option("-o", "--out", required=True, type=options.NewPath(), help="The .onnx file to write.")
@click.option(
    "--no-measure", is_flag=True, help="Lower all that fits, also where it is not faster here."
)
@click.option(
    "--threads",
    default=1,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="Threads of the runtime while measuring.",
)
@options.input_shapes
@options.as_json
def lower_command(as_json: bool, no_measure: bool, **given: Any) -> Answer:  # Any: click
    """Put our fused ops into MODEL, an int8 .onnx file in QDQ format, whoever quantised it.

    The new file also runs without our library. Speed and outputs are compared with MODEL; what does not pay is undone.
    """
    from squeeze.commands.lower import lower_file

    with steps_shown(silent=as_json) as progress:
        found = lower_file(measured=not no_measure, progress=progress, **given)
    if not as_json:
        from squeeze.console.lowered import show_lowered

        show_lowered(console(), found)
    return Answer(found)
