"""`squeeze targets`: the devices that have a file."""

from __future__ import annotations

import click

from squeeze.cli import options
from squeeze.cli.answer import Answer
from squeeze.cli.screen import console


@click.command("targets")
@options.as_json
def targets_command(as_json: bool) -> Answer:
    """The devices that squeeze knows."""
    from squeeze.spec import names
    from squeeze.target import load_target

    found = [load_target(name) for name in names("targets")]
    if not as_json:
        from squeeze.console.table import show_table

        rows = [(t.name, t.runtime.name, str(t.runtime.threads), t.summary) for t in found]
        show_table(console(), ("target", "runtime", "threads", "what"), rows)
    return Answer({"targets": [t.model_dump(mode="json", by_alias=True) for t in found]})
