"""`squeeze compile`: the whole way, for one target or several."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from squeeze.cli import options
from squeeze.cli.answer import Answer, Stopped
from squeeze.cli.completing import NameOrFile
from squeeze.cli.screen import console, steps_shown
from squeeze.errors import GoalMissed
from squeeze.quantities import byte_count, duration, milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.artifact import Artifact
    from squeeze.cli.answer import Json


def one_or_several(
    _context: click.Context, _option: click.Parameter, names: tuple[str, ...]
) -> str | tuple[str, ...] | None:
    """One target is its name, several are a tuple."""
    return names if len(names) > 1 else next(iter(names), None)


@click.command("compile", short_help="Make a model smaller and faster, and prove it.")
@click.argument("teacher", type=click.Path())
@click.option(
    "--calib",
    type=NameOrFile("calib"),
    metavar="DATA",
    help=".npz, .npy, image folder, .csv, .jsonl, TOML, a bundled name [none: inputs are made from the teacher].",
)
@click.option(
    "--target",
    type=NameOrFile("targets"),
    multiple=True,
    callback=one_or_several,
    help="A name of `squeeze targets` or a TOML file; several make a package each [host].",
)
@click.option(
    "--recipe",
    type=NameOrFile("recipes"),
    help="balanced, fastest, four-stages, smallest, ptq or a TOML file [balanced].",
)
@options.factory_weights
@options.input_shapes
@options.embed_preprocess
@click.option(
    "--latency",
    "latency_ms",
    type=milliseconds,
    metavar="TIME",
    help="Goal, such as 0.3ms: median latency on the target.",
)
@click.option(
    "--size",
    "size_bytes",
    type=byte_count,
    metavar="BYTES",
    help="Goal, such as 200KB: bytes of the exported file.",
)
@click.option(
    "--ram",
    "ram_bytes",
    type=lambda text: byte_count(text, "--ram"),
    metavar="BYTES",
    help="Goal, such as 256KB: working memory on the device (mcu-*, ethos-u*).",
)
@click.option(
    "--flash",
    "flash_bytes",
    type=lambda text: byte_count(text, "--flash"),
    metavar="BYTES",
    help="Goal, such as 512KB: model and kernels in the device's flash (mcu-*).",
)
@click.option(
    "--drop",
    type=options.FiniteRange(min=0, unit="points"),
    metavar="POINTS",
    help="Goal: points of the metric it may lose.",
)
@click.option(
    "--worst-class-drop",
    type=options.FiniteRange(min=0, unit="points"),
    metavar="POINTS",
    help="Goal: points of recall that each class may lose.",
)
@click.option(
    "--time",
    "time_s",
    type=duration,
    metavar="TIME",
    help="The whole compile, such as 30m: trainings are cut to fit, by a plan [as long as it takes].",
)
@click.option(
    "--bits", type=options.bits_choice, callback=options.whole_bits, help=options.bits_help
)
@options.keep_float
@click.option(
    "--prune",
    type=options.FiniteRange(min=0, max=1, max_open=True),
    metavar="SHARE",
    help="Share of the multiplications to remove, such as 0.3.",
)
@options.metric
@click.option(
    "--seed", type=click.IntRange(0, (1 << 63) - 1), help="Same seed and threads, same bytes."
)
@options.preprocess
@options.extra
@options.pretrained
@options.guides
@options.accept_baseline
@options.work_threads
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    help="Where to train [auto: cuda where torch sees one].",
)
@click.option(
    "--from",
    "supernet",
    type=click.Path(),
    metavar="FOLDER",
    help="Take the student from what `squeeze search --supernet` trained.",
)
@options.overrides
@click.option(
    "--licence",
    "--license",
    "licence",
    metavar="SPDX",
    help="Of the model, such as Apache-2.0, for the bill of materials.",
)
@click.option("--cache", type=click.Path(), help="Where finished steps are kept.")
@click.option(
    "-o",
    "--out",
    required=True,
    type=options.NewPath(),
    help="The package folder to write; with several targets the folder of the packages.",
)
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
@options.as_json
def compile_command(
    as_json: bool,
    quiet: bool,
    **given: Any,  # Any: click
) -> Answer:
    """Make TEACHER smaller and faster, measure it, and write a verified package.

    TEACHER is a torch.export archive (.pt2), an .onnx file, a Hugging Face folder, or package.module:factory with
    --weights.
    """
    options.check_model(given["teacher"], given["weights"])
    from squeeze.compile import compile_model

    # What was not asked for keeps the default that `compile_model` has.
    asked = {
        name: value for name, value in options.take_preprocess(given).items() if value is not None
    }
    several, out = isinstance(given["target"], tuple), Path(given["out"])
    missed: GoalMissed | None = None
    try:
        with steps_shown(silent=quiet or as_json) as progress:
            made = compile_model(progress=progress, command=["squeeze", *sys.argv[1:]], **asked)
        packages = tuple(made) if isinstance(made, tuple | list) else (made,)
    except GoalMissed as e:
        missed, packages = e, _written(e, out)
    except KeyboardInterrupt as e:
        raise Stopped("stopped. Finished steps are kept: the same command goes on from here") from e
    if not (quiet or as_json):
        from squeeze.console.package import show_packages

        show_packages(console(), packages, index=_index(out) if several else None)
    found = _several(packages, out) if several else _package(packages[0])
    return Answer({**found, "goal_met": missed is None, "exit_code": 0}, missed)


def _written(missed: GoalMissed, out: Path) -> tuple[Artifact, ...]:
    """The packages that a compile beyond its goal left."""
    from squeeze import artifact

    return tuple(artifact.open(path) for path in missed.packages or (out,))


def _index(out: Path) -> Path:
    """The page that leads to the packages of one compile."""
    from squeeze.artifact import INDEX_PAGE

    return out / INDEX_PAGE


def _package(package: Artifact) -> Json:
    return {"package": str(package.path), "artifact_digest": package.digest, **package.manifest}


def _several(packages: Sequence[Artifact], out: Path) -> Json:
    each = [{**_package(package), "goal_met": package.goal_met} for package in packages]
    return {"packages": each, "index": str(_index(out))}
