"""The `fastism` command: its parts put together, and errors turned into exit codes.

Requirements: typer. `application()` imports the commands, none of which imports a framework.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from functools import cache
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from fastism import __version__
from fastism.cli.exit_codes import Exit, Failure, said, stage
from fastism.cli.silence import set_up

__all__ = ["Exit", "Failure", "application", "stage"]

#: In the order of the help page; `fastism.cli.NAME` has a function NAME.
COMMANDS = (
    "score",
    "export",
    "plot",
    "report",
    "pairs",
    "variants",
    "scan",
    "evolve",
    "plan",
    "verify",
    "info",
)


class Group(TyperGroup):
    """The command line; every way to fail becomes one line on stderr and an exit code."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command and exit."""
        extra.update(standalone_mode=False, prog_name="fastism")
        try:
            code = super().main(*args, **extra)
            if code == Exit.INTERRUPTED:
                say("fastism: interrupted")
        except Failure as failure:
            code = failed(failure.code, failure.message, failure.__cause__)
        except (KeyboardInterrupt, typer.Abort):
            code = Exit.INTERRUPTED
            say("fastism: interrupted")
        except Exception as error:
            code = unexpected(error)
        sys.exit(int(code) if isinstance(code, int) else 0)


def failed(code: Exit, message: str, cause: BaseException | None = None) -> Exit:
    """Say what went wrong in one line; with FASTISM_DEBUG=1 also where."""
    if os.environ.get("FASTISM_DEBUG") == "1" and cause is not None:
        traceback.print_exception(cause, file=sys.stderr)
    say(f"fastism: {'interrupted' if code == Exit.INTERRUPTED else 'error'}: {message}")
    return code


def unexpected(error: Exception) -> Exit:
    """What click refuses is the user's to mend; anything else is a mistake of the program."""
    if hasattr(error, "format_message"):
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "fastism"
        message = " ".join(error.format_message().split())
        stop = "" if message.endswith((".", ")", "?")) else "."
        return failed(Exit.USAGE, f"{message}{stop} See: {path} --help")
    text = f"{type(error).__name__}: {said(error)}"
    return failed(
        Exit.INTERNAL,
        f"internal: {text} Please report this, with what FASTISM_DEBUG=1 prints in addition.",
        error,
    )


def say(line: str) -> None:
    """One line on stderr, also where that is closed."""
    try:
        typer.echo(line, err=True)
    except OSError:
        return


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        typer.echo(f"fastism-suite {__version__}")
        raise typer.Exit()


def top(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=show_version, is_eager=True),
    ] = False,
) -> None:
    """Exact in-silico saturation mutagenesis of sequence models, fast.

    Every command has its own --help. Errors are one line on stderr; the exit code says which kind.
    """
    set_up()
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@cache
def application() -> typer.Typer:
    """The whole command line as a typer application."""
    made = typer.Typer(
        name="fastism",
        cls=Group,
        invoke_without_command=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    made.callback()(top)
    for name in COMMANDS:
        module = importlib.import_module(f"fastism.cli.{name}")
        made.command(name)(getattr(module, name))
    return made


def main() -> None:
    """The command for scripts that were installed before `fastism.cli.start` was its beginning."""
    from fastism.cli import start

    start.main()
