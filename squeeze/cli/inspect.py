"""`squeeze inspect`: what a package or a model file says of itself."""

from __future__ import annotations

from collections.abc import Sequence

import click

from squeeze.cli import options
from squeeze.cli.answer import Answer
from squeeze.cli.screen import console
from squeeze.errors import ConfigError


@click.command("inspect", short_help="What a package or a model file holds.")
@click.argument("model", type=click.Path())
@options.input_shapes
@options.as_json
def inspect_command(model: str, shape: dict[str, Sequence[int]] | None, as_json: bool) -> Answer:
    """What a package says of itself, or what a model file holds."""
    from squeeze.commands.inspect import inspect_model

    found = inspect_model(model, shape)
    if not as_json:
        from squeeze.console.inspection import show_inspection

        try:
            show_inspection(console(), found)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as e:
            raise ConfigError(
                f"{model}: its manifest has not the form that squeeze writes ({type(e).__name__}: {e}); --json shows it"
            ) from e
    return Answer(found)
