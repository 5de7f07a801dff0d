"""What a shell offers for an argument that is a name of ours or a file."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


class NameOrFile(click.ParamType):  # type: ignore[type-arg]  # generic only for newer clicks
    """A name that lies in the folder `shipped` ("calib", "recipes", "targets"), or a path; read as text."""

    name = "text"

    def __init__(self, shipped: str) -> None:
        self._shipped = shipped

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that begin so, and whatever files the shell finds."""
        from squeeze.spec import names

        begun = [name for name in names(self._shipped) if name.startswith(incomplete)]
        return [*map(CompletionItem, begun), CompletionItem(incomplete, type="file")]
