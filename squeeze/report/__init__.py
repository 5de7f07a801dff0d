"""One self-contained HTML page from a manifest: the verdict, the proof, and what was tried.

It opens offline: no script, no font, no picture from elsewhere; charts are inline SVG. Every part of the manifest may
be missing (a recipe without a search, data without labels); the page then leaves that part out and does not fail.
Texts from users' files are escaped.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze.report import (
    candidates,
    compared,
    cpus,
    curves,
    flips,
    front,
    heading,
    ladder,
    layers,
    provenance,
    sensitivity,
    several,
    size,
    story,
    targets,
    tradeoff,
)

if TYPE_CHECKING:
    import jinja2

Json = dict[str, Any]  # Any: JSON
_FOLDER = Path(__file__).resolve().parent


def render(manifest: Json) -> str:
    """The page of a package, in HTML5. Never raises for a part that is missing."""
    return _template("page.html").render(
        m=manifest,
        heading=heading.heading(manifest),
        verdict=manifest.get("verdict") or {},
        sentence=story.sentence(manifest),
        checks=story.checks(manifest),
        notes=story.notes(manifest),
        data_free=story.data_free(manifest),
        rows=compared.rows(manifest),
        source=provenance.source(manifest),
        bars=compared.bars(manifest),
        outputs=compared.outputs(manifest),
        flips=flips.flips(manifest),
        candidates=candidates.rows(manifest),
        columns=candidates.columns(manifest),
        tradeoffs=tradeoff.charts(manifest),
        ladder=ladder.table(manifest),
        front=front.chart(manifest.get("search")),
        curves=curves.charts(manifest.get("training")),
        sensitivity=sensitivity.table(manifest),
        size=size.size(manifest),
        cpus=cpus.checked(manifest),
        layers=layers.table(manifest.get("layers")),
        layers_named=layers.are_named(manifest.get("layers")),
        layers_timed=layers.are_timed(manifest),
        steps=story.steps(manifest),
        data=story.data(manifest),
        command=story.command(manifest),
        facts=story.facts(manifest),
        settings=story.settings(manifest),
        digests=story.digests(manifest),
        network=bool(manifest.get("supernet")),
    )


def render_targets(found: Json) -> str:
    """The page of a profile on several targets (`squeeze.commands.across.across`)."""
    return _template("targets.html").render(
        m=found,
        heading=heading.profile(found),
        lines=targets.lines(found),
        classes=targets.classes(found),
        details=targets.details(found),
        judged=targets.judged(found),
    )


def render_index(packages: list[Json]) -> str:
    """The page that leads to the packages of one compile: the rows of `squeeze.artifact.write_index`."""
    return _template("index.html").render(
        heading=heading.packages(packages), rows=several.rows(packages)
    )


def row_of_index(manifest: Json) -> Json:
    """What `render_index` and index.json need of a package."""
    return several.row_of_index(manifest)


@cache
def _template(name: str) -> jinja2.Template:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
