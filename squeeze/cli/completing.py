"""What a shell offers for an argument: a name of ours, a file, a key of a recipe, a metric."""

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


class Setting(click.ParamType):  # type: ignore[type-arg]  # generic only for newer clicks
    """KEY=VALUE of a recipe, read as text."""

    name = "text"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The keys that begin so, such as distill.steps."""
        from squeeze.spec import recipe_keys

        return [CompletionItem(f"{key}=") for key in recipe_keys() if key.startswith(incomplete)]


class MetricName(click.ParamType):  # type: ignore[type-arg]  # generic only for newer clicks
    """NAME, NAME@OUTPUT or module:function, read as text."""

    name = "text"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The metrics of ours that begin so."""
        from squeeze.metrics import METRICS

        return [CompletionItem(name) for name in METRICS if name.startswith(incomplete)]
