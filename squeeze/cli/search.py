"""`squeeze search`: one training of a network from which many devices are served."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click

from squeeze.cli import options
from squeeze.cli.answer import Answer
from squeeze.cli.completing import NameOrFile
from squeeze.cli.screen import console, steps_shown

_OWN_FLAGS = frozenset({"--supernet", "-q", "--quiet", "--json"})
_OWN_VALUES = ("--space", "-o", "--out")
_OWN_JOINED = ("--space=", "-o", "--out=")  # with the value in one word


@click.command("search", short_help="Train once for many devices.")
@click.argument("teacher", type=click.Path())
@click.option(
    "--supernet",
    is_flag=True,
    required=True,
    help="Train one network of which all students are parts.",
)
@click.option(
    "--calib",
    required=True,
    type=NameOrFile("calib"),
    metavar="DATA",
    help="Texts (.txt, .csv, .jsonl), images (a folder), .npz, .npy, TOML, a bundled name.",
)
@click.option(
    "--space",
    "spaces",
    type=click.Choice(["base", "small", "tiny"]),
    multiple=True,
    help="How large its students are; may be repeated [small].",
)
@options.factory_weights
@options.metric
@click.option("--seed", type=click.IntRange(0, (1 << 63) - 1), help="Same seed, same network.")
@options.preprocess
@options.extra
@options.work_threads
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    help="Where to train [auto: cuda where torch sees one].",
)
@options.overrides
@click.option("--cache", type=click.Path(), help="Where finished steps are kept.")
@click.option("-o", "--out", required=True, type=options.NewPath(), help="The folder to write.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
@options.as_json
def search_command(
    as_json: bool,
    quiet: bool,
    supernet: bool,  # the only kind there is, said so that others can come
    **given: Any,  # Any: click
) -> Answer:
    """Train one network from parts of TEACHER; `squeeze compile --from` takes the student of a device out of it.

    TEACHER is a convolutional network, a text encoder of the kind of BERT or a vision transformer of the kind of ViT:
    an .onnx file, a .pt2 archive or a Hugging Face folder. Stopped, the same command goes on.
    """
    options.check_model(given["teacher"], given["weights"])
    from squeeze.commands.search import search_supernet

    asked = {
        name: value for name, value in options.take_preprocess(given).items() if value is not None
    }
    asked["spaces"] = given["spaces"] or ("small",)
    with steps_shown(silent=quiet or as_json) as progress:
        found = search_supernet(progress=progress, **asked)
    if not (quiet or as_json):
        from squeeze.console.text import shown

        count = sum(map(len, found["spaces"].values()))
        console().print()
        text = f"{found['supernet']}: {count} students in one network. Next: {_next(found['supernet'])}"
        console().print(shown(text))
    return Answer({**found, "command": ["squeeze", *sys.argv[1:]]})


def _next(out: str) -> str:
    """The compile of the same problem: as this command was typed, without what it alone takes."""
    words, kept = iter(sys.argv[2:]), []
    for word in words:
        if word in _OWN_VALUES:
            next(words, None)
        elif word not in _OWN_FLAGS and not word.startswith(_OWN_JOINED):
            kept.append(word)
    return f"{shlex.join(['squeeze', 'compile', *kept, '--from', out])} -o OUT"
