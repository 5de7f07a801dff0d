"""`squeeze completion`: the script that lets a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from squeeze.cli import options
from squeeze.cli.answer import Answer
from squeeze.errors import ConfigError


@click.command("completion", short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@options.as_json
@click.pass_context
def completion_command(context: click.Context, shell: str, as_json: bool) -> Answer:
    """Print the completion script: `source <(squeeze completion bash)`."""
    kind = get_completion_class(shell)
    if kind is None:
        raise ConfigError(f"completion: no script for {shell}; known: bash, zsh, fish")
    script = kind(context.find_root().command, {}, "squeeze", "_SQUEEZE_COMPLETE").source()
    if not as_json:
        click.echo(script)
    return Answer({"shell": shell, "script": script})
