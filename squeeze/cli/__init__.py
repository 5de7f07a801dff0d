"""The command line: one file a command, each parses, calls one function and prints. No logic.

Importing it loads click and nothing else; a command loads the libraries that it needs when it runs.
"""

from __future__ import annotations

import logging
import signal
import sys
from typing import TYPE_CHECKING

import click

from squeeze import __version__
from squeeze.cli.answer import Answer, Stopped, UsageError, end, quiet_output
from squeeze.cli.calib import calib_command
from squeeze.cli.compile import compile_command
from squeeze.cli.completion import completion_command
from squeeze.cli.doctor import doctor_command
from squeeze.cli.fit import fit_command
from squeeze.cli.inspect import inspect_command
from squeeze.cli.lower import lower_command
from squeeze.cli.output import prepare_output
from squeeze.cli.profile import profile_command
from squeeze.cli.quantize import quantize_command
from squeeze.cli.recipes import recipes_command
from squeeze.cli.search import search_command
from squeeze.cli.sign import sign_command
from squeeze.cli.targets import targets_command
from squeeze.cli.verify import verify_command
from squeeze.errors import EXIT_CODES, SqueezeError
from squeeze.plain_text import printable

if TYPE_CHECKING:
    from types import FrameType

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_COMMANDS = (
    calib_command,
    compile_command,
    completion_command,
    doctor_command,
    fit_command,
    inspect_command,
    lower_command,
    profile_command,
    quantize_command,
    recipes_command,
    search_command,
    sign_command,
    targets_command,
    verify_command,
)
_WELCOME = """\
squeeze makes a trained model small and fast for a device, and proves it.
One verified ONNX file comes out.

The whole way, every step measured:
  squeeze compile model.pt2 --calib data.npz --drop 1.0 -o out/small
Only int8 (or fewer bits), no training:
  squeeze quantize model.onnx --calib data.npz -o model_int8.onnx
How fast a model is here, and why:
  squeeze profile out/small --against model.onnx

Examples: a trained model lies in examples/ of the source tree; --calib fashion
is data that comes with squeeze. All commands: squeeze --help"""


class _Group(click.Group):
    """Its help ends with what exit codes mean."""

    def format_epilog(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), why) for code, why in EXIT_CODES.items()])


def _say_more(context: click.Context, _option: click.Parameter, times: int) -> None:
    """Before a command or behind it: a command without it leaves what was said before."""
    if times or context.parent is None:
        level = {0: logging.WARNING, 1: logging.INFO}.get(times, logging.DEBUG)
        logging.getLogger("squeeze").setLevel(level)


_verbose = click.option(
    "-v",
    "--verbose",
    count=True,
    expose_value=False,
    callback=_say_more,
    help="Say more (-vv: everything).",
)
for _command in _COMMANDS:
    _verbose(_command)


@click.group(cls=_Group, commands=_COMMANDS, context_settings=_CONTEXT, invoke_without_command=True)
@click.version_option(__version__, "-V", "--version")
@_verbose
@click.pass_context
def cli(context: click.Context) -> None:
    """Compress a trained model for a device: teacher + data + target + goal in, one verified ONNX file out.

    \b
    squeeze compile teacher.pt2 --calib data.npz --target host --latency 0.3ms --drop 1.0 -o out/small
    squeeze profile out/small --against teacher.onnx
    squeeze verify  out/small
    """
    said = logging.StreamHandler(sys.stderr)
    said.setFormatter(_OneLine("%(levelname)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[said])
    if context.invoked_subcommand is None:
        click.echo(_WELCOME)


class _OneLine(logging.Formatter):
    """A message on one line, whatever is in the names that it tells; a traceback has its own below it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging calls it so)
        return printable(super().formatMessage(record))


class _Interrupted(KeyboardInterrupt):
    """Ctrl-C. Its own class, because Python remembers a plain KeyboardInterrupt that passes through `exec` (imports of
    dataclasses, named tuples): at its end it would then kill itself with SIGINT, whatever exit code was asked for.
    """


def _interrupt(sent: int, _frame: FrameType | None) -> None:
    if sent != signal.SIGINT:
        # Who asks again, as service managers do, must not interrupt what is taken away now.
        for again in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(again, signal.SIG_IGN)
    raise _Interrupted


def main() -> None:
    """The entry point: runs the command, writes its one JSON object if it is wanted, and exits with its code."""
    given = sys.argv[1:]
    as_json = "--json" in (given[: given.index("--")] if "--" in given else given)
    # Asked to end is stopped, as with Ctrl-C: finished steps are kept and the one JSON object is written. So is a
    # terminal that is closed, unless nohup said otherwise.
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    prepare_output()
    if not as_json:
        sys.exit(end(_answer(), as_json=False))
    with quiet_output() as heard:
        try:
            answer = _answer()
        except SystemExit as e:  # a user's own module may end the program
            why = f"a module ended the program with exit code {e.code}; it must not call sys.exit"
            answer = Answer(error=SqueezeError(why))
    if answer == Answer():
        answer = Answer({"text": heard.getvalue()})
    else:
        click.echo(heard.getvalue(), err=True, nl=False)
    sys.exit(end(answer, as_json=True))


def _answer() -> Answer:
    """What the command found or how it failed; empty after --help and --version. Nothing but SystemExit gets out."""
    try:
        found = cli.main(standalone_mode=False, prog_name="squeeze")
        return found if isinstance(found, Answer) else Answer()
    except (click.exceptions.Abort, KeyboardInterrupt):
        return Answer(error=Stopped("stopped; nothing was written"))
    except click.ClickException as e:
        return Answer(error=UsageError(e.format_message().replace("\n", " ")))
    except SqueezeError as e:
        return Answer(error=e)
    except Exception as e:
        logging.getLogger("squeeze").debug("the traceback", exc_info=True)
        text = f"internal error: {type(e).__name__}: {e}; please report it with what `squeeze -vv ...` says"
        return Answer(error=SqueezeError(text))
