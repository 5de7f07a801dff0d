"""`squeeze recipes`: those that are shipped, and which loss a training takes when."""

from __future__ import annotations

import click

from squeeze.cli import options
from squeeze.cli.answer import Answer
from squeeze.cli.screen import console


@click.command("explain", short_help="Which loss in which situation, and why.")
@options.as_json
def _explain_command(as_json: bool) -> Answer:
    """Which loss a training takes in which situation, why, and what each loss needs."""
    from squeeze.commands.recipes import explain_losses

    found = explain_losses()
    if not as_json:
        from squeeze.console.recipes import show_losses

        show_losses(console(), found)
    return Answer(found)


@click.group(
    "recipes",
    commands=(_explain_command,),
    invoke_without_command=True,
    subcommand_metavar="[explain]",
    short_help="The recipes that come with squeeze.",
)
@options.as_json
@click.pass_context
def recipes_command(context: click.Context, as_json: bool) -> Answer:
    """The recipes that come with squeeze, for compile --recipe; with 'explain' the losses and when to take which."""
    if context.invoked_subcommand is not None:
        return Answer()
    from squeeze.commands.recipes import list_recipes

    found = list_recipes()
    if not as_json:
        from squeeze.console.recipes import show_recipes

        show_recipes(console(), found)
    return Answer(found)
