"""`squeeze verify`: can this package be trusted here?"""

from __future__ import annotations

from dataclasses import asdict

import click

from squeeze.cli import options
from squeeze.cli.answer import Answer
from squeeze.cli.screen import console
from squeeze.errors import Mismatch


@click.command("verify", short_help="Check that a package computes what it should.")
@click.argument("package", type=click.Path())
@click.option(
    "--expect",
    metavar="DIGEST",
    help="The artifact_digest that was kept elsewhere; another one fails.",
)
@click.option("--key", type=click.Path(), help="The public key (PEM) of who must have signed it.")
@options.as_json
def verify_command(package: str, expect: str | None, key: str | None, as_json: bool) -> Answer:
    """Check a PACKAGE: its bytes, that it opens, and that it computes here what it computed when made.

    Exits with 7 where a check fails, with 2 where PACKAGE is none.
    """
    from squeeze.verification import verify

    checks = verify(package, expect, key)
    if not as_json:
        from squeeze.console.table import show_table

        rows = [("ok" if c.ok else "FAILED", c.what, c.found) for c in checks]
        show_table(console(), ("", "check", "found"), rows)
    failed = [f"{c.what}: {c.found}" for c in checks if not c.ok]
    found = {"package": package, "ok": not failed, "checks": [asdict(c) for c in checks]}
    why = f"{package}: failed: {'; '.join(failed)}; do not ship this file"
    return Answer(found, Mismatch(why) if failed else None)
