"""`squeeze targets`: the devices that have a file, one of them, or a file of this machine."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from squeeze.cli import options
from squeeze.cli.answer import Answer
from squeeze.cli.completing import NameOrFile
from squeeze.cli.screen import console


@click.command("show")
@click.argument("name", metavar="NAME", type=NameOrFile("targets"))
@options.as_json
def _show_command(name: str, as_json: bool) -> Answer:
    """All that the target NAME says (or a TOML file), each number with its source."""
    from squeeze.commands.targets import describe_target

    found = describe_target(name)
    if not as_json:
        from squeeze.console.targets import show_target

        show_target(console(), found)
    return Answer(found)


@click.command("new", short_help="Write a target file of this machine.")
@click.argument("name", metavar="NAME")
@click.option("-o", "--out", type=options.NewPath(), help="The file to write [NAME.toml here].")
@options.as_json
def _new_command(name: str, out: str | None, as_json: bool) -> Answer:
    """Measure this machine for some seconds and write a target file of it, for --target FILE."""
    from squeeze.commands.targets import write_target

    found = write_target(name, out)
    if not as_json:
        from squeeze.console.targets import show_written

        show_written(console(), found)
    return Answer(found)


class _NameOrCommand(click.Group):
    """What is no command is the name of a target."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            return _show_command.name, _show_command, args
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return [
            *super().shell_complete(ctx, incomplete),
            *NameOrFile("targets").shell_complete(ctx, self.params[0], incomplete),
        ]


@click.group(
    "targets",
    cls=_NameOrCommand,
    commands=(_new_command,),
    invoke_without_command=True,
    subcommand_metavar="[NAME | new NAME]",
    short_help="The devices that squeeze knows.",
)
@options.as_json
@click.pass_context
def targets_command(context: click.Context, as_json: bool) -> Answer:
    """The devices that squeeze knows: which class of numbers each gives on this machine, and what gives better ones.

    With NAME (or a TOML file) all that is said of one.
    """
    if context.invoked_subcommand is not None:
        return Answer()
    from squeeze.commands.targets import list_targets

    found = list_targets()
    if not as_json:
        from squeeze.console.targets import show_targets

        show_targets(console(), found)
    return Answer(found)
