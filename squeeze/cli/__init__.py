"""The command line: parse, call one function, print. No logic; a command loads the libraries that it needs."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from squeeze import __version__
from squeeze.errors import ConfigError, GoalMissed, SqueezeError

if TYPE_CHECKING:
    from rich.console import Console

Json = dict[str, Any]  # Any: JSON
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

as_json = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object on standard output."
)


@click.group(context_settings=_CONTEXT)
@click.version_option(__version__, "-V", "--version")
@click.option("-v", "--verbose", count=True, help="Say more (-vv: everything).")
def cli(verbose: int) -> None:
    """Compress a trained model for a device: teacher + data + target + goal in, one verified ONNX file out.

    \b
    squeeze compile teacher.pt2 --calib data.npz --target host --latency 0.3ms --drop 1.0 -o out/small
    squeeze profile out/small --against teacher.onnx
    squeeze verify  out/small
    """
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.basicConfig(
        level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr
    )
    logging.getLogger("squeeze").setLevel(level)


@cli.command("compile")
@click.argument("teacher")
@click.option(
    "--calib",
    metavar="DATA",
    help=".npz, .npy, image folder, TOML or a bundled name [none: inputs are made from the teacher].",
)
@click.option(
    "--target",
    default="host",
    show_default=True,
    help="A name of `squeeze targets` or a TOML file.",
)
@click.option(
    "--recipe",
    default="balanced",
    show_default=True,
    help="balanced, fastest, smallest, ptq or a TOML file.",
)
@click.option("--weights", metavar="FILE", help="Weights for a 'package.module:factory' teacher.")
@click.option(
    "--latency", metavar="TIME", help="Goal, such as 0.3ms: median latency on the target."
)
@click.option("--size", metavar="BYTES", help="Goal, such as 200KB: bytes of the exported file.")
@click.option(
    "--drop",
    type=click.FloatRange(min=0),
    metavar="POINTS",
    help="Goal: points of the metric it may lose.",
)
@click.option(
    "--bits",
    type=click.Choice(["2", "3", "4", "8"]),
    help="Bits of the weights of all layers but the first and last.",
)
@click.option(
    "--prune",
    type=click.FloatRange(min=0, max=1, max_open=True),
    metavar="SHARE",
    help="Share of the multiplications to remove, such as 0.3.",
)
@click.option("--metric", help="top1, auc, mse, cosine, spearman, agreement or module:function.")
@click.option("--seed", type=click.IntRange(min=0), help="Same seed and threads, same bytes.")
@click.option(
    "--threads", type=click.IntRange(min=1), help="Threads for the work itself [all cores]."
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="A recipe key, such as distill.steps=20000.",
)
@click.option("--cache", type=click.Path(), help="Where finished steps are kept.")
@click.option("-o", "--out", required=True, type=click.Path(), help="The package folder to write.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
@as_json
def compile_command(
    as_json: bool,
    quiet: bool,
    latency: str | None,
    size: str | None,
    bits: str | None,
    settings: tuple[str, ...],
    **given: Any,  # Any: click
) -> None:
    """Make TEACHER smaller and faster, measure it, and write a verified package.

    TEACHER is a torch.export archive (.pt2), an .onnx file, or package.module:factory with --weights.
    """
    from squeeze import artifact
    from squeeze.compile import compile_model
    from squeeze.progress import Progress
    from squeeze.quantities import byte_count, milliseconds

    silent = quiet or as_json
    terminal: Any = None  # Any: rich is not imported for silent runs
    if not silent:
        from squeeze.console.terminal import Terminal, show_package

        terminal = Terminal(_console())
    missed: GoalMissed | None = None
    try:
        package = compile_model(
            latency_ms=milliseconds(latency) if latency else None,
            size_bytes=byte_count(size) if size else None,
            bits=int(bits) if bits else None,
            overrides=_settings(settings),
            progress=terminal or Progress(),
            command=["squeeze", *sys.argv[1:]],
            **given,
        )
    except GoalMissed as e:
        missed, package = e, artifact.open(given["out"])
    finally:
        if terminal:
            terminal.close()
    if as_json:
        _print_json(
            {"package": str(package.path), "artifact_digest": package.digest, **package.manifest}
        )
    elif not quiet:
        show_package(_console(), package)
    if missed:
        raise missed


@cli.command()
@click.argument("model")
@click.option("--target", default="host", show_default=True)
@click.option(
    "--against", metavar="OTHER", help="A second model, timed interleaved with the first."
)
@click.option("--runs", default=200, show_default=True, type=click.IntRange(min=10))
@click.option(
    "--threads", type=click.IntRange(min=1), help="Threads of the runtime [the target's]."
)
@click.option(
    "--shape", metavar="N,...", help="Input shape, batch included, for models that leave it open."
)
@as_json
def profile(model: str, as_json: bool, shape: str | None, **options: Any) -> None:  # Any: click
    """Latency, share of time by op, peak memory, bytes and MACs of MODEL (package, .onnx or .pt2)."""
    from squeeze.commands.profile import profile_model

    found = profile_model(model, shape=_shape(shape), **options)
    if as_json:
        _print_json(found)
        return
    from squeeze.console.tables import show_profile

    show_profile(_console(), found)


@cli.command("lower")
@click.argument("model", type=click.Path())
@click.option("-o", "--out", required=True, type=click.Path(), help="The .onnx file to write.")
@click.option(
    "--no-measure", is_flag=True, help="Lower all that fits, also where it is not faster here."
)
@click.option(
    "--threads",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Threads of the runtime while measuring.",
)
@as_json
def lower_command(as_json: bool, no_measure: bool, **given: Any) -> None:  # Any: click
    """Put our fused ops into MODEL, an int8 .onnx file in QDQ format, whoever quantised it.

    The new file also runs without our library. Speed and outputs are compared with MODEL; what does not pay is undone.
    """
    from squeeze.commands.lower import lower_file
    from squeeze.progress import Progress

    terminal: Any = None  # Any: rich is not imported for silent runs
    if not as_json:
        from squeeze.console.terminal import Terminal

        terminal = Terminal(_console())
    try:
        found = lower_file(measured=not no_measure, progress=terminal or Progress(), **given)
    finally:
        if terminal:
            terminal.close()
    if as_json:
        _print_json(found)
        return
    from squeeze.console.tables import show_lowered

    show_lowered(_console(), found)


@cli.command("quantize")
@click.argument("model")
@click.option("-o", "--out", required=True, type=click.Path(), help="The .onnx file to write.")
@click.option("--calib", metavar="DATA", help="As for compile [none: inputs are made from MODEL].")
@click.option(
    "--bits",
    type=click.Choice(["2", "3", "4", "8"]),
    default="8",
    show_default=True,
    help="Bits of the weights of all layers but the first and last.",
)
@click.option("--target", default="host", show_default=True)
@click.option("--weights", metavar="FILE", help="Weights for a 'package.module:factory' model.")
@click.option("--metric", help="As for compile.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), help="Threads for the work [all cores].")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Such as quant.observer=entropy."
)
@as_json
def quantize_command(
    as_json: bool, bits: str, settings: tuple[str, ...], **given: Any
) -> None:  # Any: click
    """Quantise MODEL (.onnx, .pt2 or package.module:factory) without training: int8, or weights of 4, 3 or 2 bits.

    Writes one file that also runs without our library, and says what it costs and gains.
    """
    from squeeze.commands.quantize import quantize_file
    from squeeze.progress import Progress

    terminal: Any = None  # Any: rich is not imported for silent runs
    if not as_json:
        from squeeze.console.terminal import Terminal

        terminal = Terminal(_console())
    try:
        found = quantize_file(
            bits=int(bits),
            overrides=_settings(settings),
            progress=terminal or Progress(),
            **given,
        )
    finally:
        if terminal:
            terminal.close()
    if as_json:
        _print_json(found)
        return
    from squeeze.console.tables import show_quantised

    show_quantised(_console(), found)


@cli.command()
@click.argument("package", type=click.Path())
@as_json
def verify(package: str, as_json: bool) -> None:
    """Check a PACKAGE: its bytes, that it opens, and that it computes here what it computed when made."""
    from squeeze.verification import verify as verify_package

    checks = verify_package(package)
    if as_json:
        _print_json(
            {
                "package": package,
                "ok": all(c.ok for c in checks),
                "checks": [asdict(c) for c in checks],
            }
        )
    else:
        from squeeze.console.terminal import show_table

        rows = [("ok" if c.ok else "FAILED", c.what, c.found) for c in checks]
        show_table(_console(), ("", "check", "found"), rows)
    if failed := [c.what for c in checks if not c.ok]:
        raise SqueezeError(f"{package}: failed: {', '.join(failed)}; do not ship this file")


@cli.command()
@click.argument("model")
@as_json
def inspect(model: str, as_json: bool) -> None:
    """What a package says of itself, or what a model file holds."""
    from squeeze.commands.inspect import inspect_model

    found = inspect_model(model)
    if as_json:
        _print_json(found)
        return
    from squeeze.console.tables import show_inspection

    show_inspection(_console(), found)


@cli.command()
@as_json
def targets(as_json: bool) -> None:
    """The devices that squeeze knows."""
    from squeeze.spec import load_target, names

    found = [load_target(name) for name in names("targets")]
    if as_json:
        _print_json({"targets": [t.model_dump(mode="json", by_alias=True) for t in found]})
        return
    from squeeze.console.terminal import show_table

    rows = [(t.name, t.runtime, str(t.threads), t.summary) for t in found]
    show_table(_console(), ("target", "runtime", "threads", "what"), rows)


@cli.command()
@click.argument("source", required=False)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@as_json
def calib(source: str | None, seed: int, as_json: bool) -> None:
    """What squeeze reads from a calibration set (SOURCE as for compile --calib), or the bundled names."""
    from squeeze import calib as calibration

    if source is None:
        found: Json = {"bundled": calibration.names()}
    else:
        found = calibration.describe(calibration.load(source, seed=seed))
    if as_json:
        _print_json(found)
        return
    from squeeze.console.tables import show_nested

    show_nested(_console(), found)


@cli.command()
@as_json
def doctor(as_json: bool) -> None:
    """What this machine can do, with versions."""
    from squeeze.machine import doctor as examine

    found = examine()
    if as_json:
        _print_json(found)
        return
    from squeeze.console.tables import show_doctor

    show_doctor(_console(), found)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script: `source <(squeeze completion bash)`."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise ConfigError(f"completion: no script for {shell}; known: bash, zsh, fish")
    click.echo(kind(cli, {}, "squeeze", "_SQUEEZE_COMPLETE").source())


def main() -> None:
    """The entry point: the only place where errors become text and exit codes."""
    wants_json = "--json" in sys.argv[1:]
    try:
        sys.exit(cli.main(standalone_mode=False, prog_name="squeeze"))
    except click.exceptions.Abort:
        _interrupted()
    except KeyboardInterrupt:
        _interrupted()
    except click.ClickException as e:
        _fail(e.format_message().replace("\n", " "), e.exit_code, wants_json)
    except SqueezeError as e:
        _fail(str(e), e.exit_code, wants_json)
    except Exception as e:
        logging.getLogger("squeeze").debug("the traceback", exc_info=True)
        text = f"internal error: {type(e).__name__}: {e}; please report it with the output of -vv"
        _fail(text, 1, wants_json)


def _fail(text: str, code: int, wants_json: bool) -> None:
    if wants_json:
        click.echo(json.dumps({"error": text, "exit_code": code}))
    click.echo(text if code == GoalMissed.exit_code else f"error: {text}", err=True)
    sys.exit(code)


def _interrupted() -> None:
    click.echo("\nstopped. Finished steps are kept: the same command goes on from here", err=True)
    sys.exit(130)


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def _print_json(value: Json) -> None:
    click.echo(json.dumps(value, indent=1, default=str))


def _shape(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as e:
        raise ConfigError(
            f"--shape: got {text!r}; whole numbers with commas, such as 1,3,224,224"
        ) from e


def _settings(pairs: tuple[str, ...]) -> Json:
    found: Json = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise ConfigError(f"--set {pair}: KEY=VALUE is wanted, such as distill.steps=20000")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


if __name__ == "__main__":
    main()
