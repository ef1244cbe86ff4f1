"""How the `fastism` command ends: its exit codes, and which stage of a command gives which.

Requirements: none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TypeVar

from fastism.errors import FastISMError, no_memory

T = TypeVar("T")


class Exit(IntEnum):
    """Exit codes with what each one says; the table in the documentation is made from them."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Exit:
        """A code that carries a sentence."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "Done."
    INTERNAL = 1, "Something that should not happen: please report it."
    USAGE = 2, "An unknown option, or a value that an option or the model does not allow."
    INPUT = 3, "A sequence, BED, VCF, genome or score file is missing, damaged or does not fit."
    MODEL = 4, "The model cannot be loaded or run, or its outputs are not numbers."
    OUTPUT = 5, "The output exists already or cannot be written."
    DIFFERENT = 6, "Verification failed: fast and naive ISM differ by more than the tolerance."
    INTERRUPTED = 130, "Interrupted; what is finished is kept, and --resume goes on from there."


class Failure(Exception):
    """The end of a command: one line for people and an exit code.

    Parameters
    ----------
    code : Exit
    message : str
    """

    def __init__(self, code: Exit, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@contextmanager
def stage(code: Exit) -> Iterator[None]:
    """What goes wrong in here for a reason that users can mend ends the command with `code`."""
    try:
        yield
    except (FastISMError, OSError) as error:
        raise Failure(code, said(error)) from error
    except Exception as error:
        if not no_memory(error):
            raise
        raise Failure(
            code, f"Out of memory ({said(error)}) Give a smaller --batch, --memory or --outputs."
        ) from error


def staged(code: Exit, items: Iterable[T]) -> Iterator[T]:
    """`items`, with what goes wrong in making them belonging to a stage of its own."""
    with stage(code):
        iterator = iter(items)
    while True:
        with stage(code):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


def refuse(message: str) -> Failure:
    """A value that an option does not allow, to be raised."""
    return Failure(Exit.USAGE, message)


def parsed(option: str, parse: Callable[[str], T], text: str) -> T:
    """`parse(text)`, or a refusal that names the option."""
    try:
        return parse(text)
    except FastISMError as error:
        raise refuse(f"{option} {text}: {error}") from error


def said(error: BaseException) -> str:
    """One line that says what an exception says."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror}."
    text = " ".join(str(error).split()) or type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."
