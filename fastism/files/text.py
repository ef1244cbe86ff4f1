"""Text files as people have them: compressed or not, with any line ends, and any bytes.

Requirements: none.
"""

from __future__ import annotations

import gzip
import re
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

from fastism.errors import FastISMError

_GZIP_MAGIC = b"\x1f\x8b"
#: How files begin that hold text of two bytes per letter.
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_WHOLE = re.compile(r"[+-]?\d+(?:\.0*)?|[+-]?\d(?:\.\d+)?[eE]\+?\d+")


def check_readable(path: Path, kind: str) -> None:
    """Raise a FastISMError where a file is missing, may not be read, or is a pipe.

    Files are read more than once: to find mistakes before hours of work, and again to do it.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode):
            raise FastISMError(
                f"{path} is a pipe or a terminal, which can be read once only. Expected {kind}, "
                "which is read several times: write it to a file first, and name that."
            )
        with path.open("rb"):
            pass
    except FileNotFoundError:
        pipe = " Standard input cannot be read: write it to a file first." * (str(path) == "-")
        raise FastISMError(
            f"There is no file {path}. Expected {kind}; check the path, which is relative to the "
            f"working directory unless it is absolute.{pipe}"
        ) from None
    except OSError as error:
        raise FastISMError(
            f"{path} cannot be read ({error.strerror}). Expected {kind} that you may read."
        ) from error


def text_lines(path: Path, kind: str) -> Iterator[tuple[int, str]]:
    """Lines of a text file, plain or compressed by (b)gzip, with their numbers from 1.

    A byte order mark and line ends (LF, CR LF or CR) are taken off. Bytes that are no UTF-8 come as
    surrogates (the error handler ``surrogateescape``), so that writing them in the same way gives
    the same bytes; `readable` makes letters of them.

    Parameters
    ----------
    path : Path
    kind : str
        What was expected, for messages.

    Raises
    ------
    FastISMError
        If the file cannot be read, is damaged, or is no text.
    """
    check_readable(path, kind)
    with path.open("rb") as handle:
        compressed = handle.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    opened = gzip.open if compressed else open
    try:
        with opened(path, "rb") as handle:
            binary = handle.read(2) in _UTF16
        with opened(path, "rt", encoding="utf-8-sig", errors="surrogateescape") as lines:
            for number, line in enumerate(lines, start=1):
                if binary or "\0" in line:
                    raise FastISMError(
                        f"{path} is not text, as line {number} shows. Expected {kind}, plain or "
                        "compressed by gzip."
                    )
                yield number, line.rstrip("\r\n")
    except (EOFError, OSError, zlib.error) as error:
        state = "a truncated or damaged gzip file" if compressed else "not readable to its end"
        raise FastISMError(f"{path} is {state} ({error}). Copy or download it again.") from error


def readable(text: str) -> str:
    r"""Text of `text_lines` with letters in place of bytes that are no UTF-8: those of Latin-1.

    Examples
    --------
    >>> readable(b"caf\xe9".decode("utf-8", "surrogateescape"))
    'café'
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    return text


def whole_number(text: str) -> int | None:
    """A whole number, also as spreadsheets and R write it (``100.0``, ``1e+05``); else None.

    Examples
    --------
    >>> whole_number("1e+05"), whole_number("100.0"), whole_number("-7"), whole_number("6.5")
    (100000, 100, -7, None)
    """
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return int(text)
    if len(text) > 30 or not _WHOLE.fullmatch(text):
        return None
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < 2**53 else None
