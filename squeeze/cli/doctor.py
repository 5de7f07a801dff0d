"""`squeeze doctor`: what this machine has, and what to do about what is missing."""

from __future__ import annotations

import click

from squeeze.cli import options
from squeeze.cli.answer import Answer
from squeeze.cli.screen import console


@click.command("doctor")
@options.as_json
def doctor_command(as_json: bool) -> Answer:
    """What this machine can do, with versions."""
    from squeeze.machine import doctor

    found = doctor()
    if not as_json:
        from squeeze.console.doctor import show_doctor

        show_doctor(console(), found)
    return Answer(found)
