"""`squeeze quantize`: that step alone, one file in and one file out."""

from __future__ import annotations

from typing import Any

import click

from squeeze.cli import options
from squeeze.cli.answer import Answer
from squeeze.cli.completing import NameOrFile
from squeeze.cli.screen import console, steps_shown
from squeeze.errors import GoalMissed


@click.command("quantize", short_help="Quantise a model without training.")
@click.argument("model", type=click.Path())
@click.option("-o", "--out", required=True, type=options.NewPath(), help="The .onnx file to write.")
@click.option(
    "--calib",
    type=NameOrFile("calib"),
    metavar="DATA",
    help="As for compile [none: inputs are made from MODEL].",
)
@click.option(
    "--bits",
    type=options.bits_choice,
    callback=options.whole_bits,
    default="8",
    show_default=True,
    help=options.bits_help,
)
@click.option(
    "--drop",
    type=options.FiniteRange(min=0, unit="points"),
    metavar="POINTS",
    help="Points of the metric it may lose; nodes stay float until that holds [1].",
)
@click.option(
    "--for",
    "aim",
    type=click.Choice(["both", "size", "speed"]),
    default="both",
    show_default=True,
    help="What counts: 'size' writes the smallest file even where it is slower and hardly smaller.",
)
@click.option(
    "--weights-only",
    is_flag=True,
    default=None,
    help="Weights of matrix products in blocks of 8 or 4 bits, float activations: for decoders.",
)
@options.keep_float
@options.one_target
@options.factory_weights
@options.input_shapes
@options.embed_preprocess
@options.metric
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@options.preprocess
@options.accept_baseline
@options.work_threads
@options.overrides
@options.as_json
def quantize_command(as_json: bool, **given: Any) -> Answer:  # Any: click
    """Quantise MODEL without training: int8, or weights of 4, 3 or 2 bits. MODEL: as TEACHER of compile.

    Writes one file that also runs without our library, and says what it costs and gains.
    """
    options.check_model(given["model"], given["weights"])
    from squeeze.commands.quantize import quantize_file

    with steps_shown(silent=as_json) as progress:
        # What was not asked for keeps the default that `quantize_file` has.
        asked = {
            name: value
            for name, value in options.take_preprocess(given).items()
            if value is not None
        }
        found = quantize_file(progress=progress, **asked)
    if not as_json:
        from squeeze.console.quantised import show_quantised

        show_quantised(console(), found)
    return Answer(found, GoalMissed(found["missed"]) if found["missed"] else None)
