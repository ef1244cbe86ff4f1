"""Effects of variants in the making, and shards of them: a journal of batches.

A frame (`fastism.store.journal`) holds the variants of one batch, in the order of the VCF: its meta
who they are and what became of them, its body the values of those that were scored, references
first. Rows of haplotypes stand in the frame during which their window was finished. A last frame
says that nothing is missing.

Requirements: numpy.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from fastism.errors import FastISMError
from fastism.genomics.locate import Effect, GenomeWindow, Status
from fastism.genomics.vcf import Variant
from fastism.store.join import check_headers, check_shards
from fastism.store.journal import Frame, Frames
from fastism.store.journal_writer import JournalWriter
from fastism.store.schema import difference

FORMAT = "fastism-effects"
_VARIANT = tuple(field.name for field in fields(Variant))
_WINDOW = tuple(field.name for field in fields(GenomeWindow))


@dataclass(frozen=True)
class EffectHeader:
    """What effects of variants were made from.

    Attributes
    ----------
    labels : tuple of str
        Of the values of an effect; see `fastism.genomics.variants.value_labels`.
    expected : int
        Alternative alleles that the file is to hold, those that are not scored included.
    model, model_hash, input, input_hash : str
        File names and SHA-256 (hexadecimal) of the model and of the VCF file.
    windows_hash : str
        SHA-256 of what every variant changes in which window: the letters of the genome.
    command : str
        What determines the content, as a command.
    versions : mapping of str to str
        Packages that took part.
    phased : bool
        Whether haplotypes are scored too.
    shard : tuple of int
        (I, N): the I-th of N parts, counted from 1.
    """

    labels: tuple[str, ...]
    expected: int
    model: str
    model_hash: str
    input: str
    input_hash: str
    windows_hash: str
    command: str
    versions: Mapping[str, str]
    phased: bool = False
    shard: tuple[int, int] = (1, 1)

    @property
    def about(self) -> str:
        """What made the values, for the header of a VCF file."""
        version = self.versions.get("fastism-suite", "")
        return f"fastism-suite {version}, model {self.model} {self.model_hash[:12]}"

    def to_json(self) -> str:
        """All fields as one line of JSON, keys sorted."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> EffectHeader:
        """The header that `to_json` wrote.

        Raises
        ------
        FastISMError
            If it is of something else, or damaged.
        """
        try:
            values = dict(json.loads(text))
            if values.pop("format", None) != FORMAT:
                raise FastISMError("it holds scores, not effects of variants")
            values["labels"] = tuple(map(str, values["labels"]))
            values["shard"] = tuple(map(int, values["shard"]))
            return cls(**values)
        except FastISMError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise FastISMError(f"its header is damaged or of another version ({error})") from error

    def difference(self, other: EffectHeader, ignore: Sequence[str] = ()) -> str:
        """The first field in which two headers differ, with both values; empty if none does."""
        return difference(self, other, ignore)


class Effects(Frames):
    """Effects of variants in a file, as far as they came; parameters and errors as of `Frames`.

    Attributes
    ----------
    header : EffectHeader
    complete : bool
    closed : int
        Windows whose haplotypes are there.
    unphased : int
        Genotypes that were left out, since they do not say which copy carries what.
    """

    holds = "effects of variants"
    header: EffectHeader

    def __init__(self, path: Path, *args: Any, **settings: Any) -> None:
        super().__init__(path, *args, **settings)
        last = self._meta(self.frames[-1]) if self.frames else {}
        self.complete = bool(last.get("end"))
        self.closed, self.unphased = last.get("closed", 0), last.get("unphased", 0)

    def _read_header(self, text: str) -> EffectHeader:
        try:
            return EffectHeader.from_json(text)
        except FastISMError as error:
            raise FastISMError(f"{self.path} is no file of {self.holds}: {error}.") from error

    def effects(self) -> Iterator[Effect]:
        """What became of every variant, in the order of the VCF."""
        for frame in self.frames:
            yield from self._read(frame)

    def statuses(self) -> Counter[str]:
        """How many variants there are of each status."""
        metas = map(self._meta, self.frames)
        return Counter(status for meta in metas for _, status, *_ in meta["effects"])

    def haplotypes(self) -> Iterator[str]:
        """Rows of the table of haplotypes."""
        for frame in self.frames:
            yield from self._meta(frame)["haplotypes"]

    def _read(self, frame: Frame) -> Iterator[Effect]:
        meta = self._meta(frame)
        values = np.frombuffer(self._body(frame), meta["dtype"])
        values = values.reshape(2, -1, len(self.header.labels))
        scored = 0
        for variant, status, window, method in meta["effects"]:
            where = None if window is None else GenomeWindow(*window)
            effect = Effect(Variant(*variant), Status(status), where, method)
            if method:
                effect = replace(effect, reference=values[0, scored], effect=values[1, scored])
                scored += 1
            yield effect


class EffectWriter(JournalWriter):
    """Takes effects batch by batch; made by `create` or `resume`."""

    journal = Effects
    header: EffectHeader

    def append(
        self, effects: Sequence[Effect], haplotypes: Sequence[str], closed: int, unphased: int
    ) -> None:
        """Add a batch; it is on the disk when this returns.

        Parameters
        ----------
        effects : sequence of Effect
        haplotypes : sequence of str
            Rows of the table of haplotypes of windows that were finished meanwhile.
        closed, unphased : int
            Windows that were finished, and genotypes without a phase, since the beginning.

        Raises
        ------
        FastISMError
            For more variants than expected, or a full disk.
        """
        scored = [effect for effect in effects if effect.effect is not None]
        values = [[e.reference for e in scored], [e.effect for e in scored]]
        array = np.array(values) if scored else np.zeros((2, 0, len(self.header.labels)), "f4")
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        meta = {
            "effects": [_plain(effect) for effect in effects],
            "haplotypes": list(haplotypes),
            "closed": closed,
            "unphased": unphased,
            "dtype": array.dtype.str,
        }
        self._append(meta, [array], len(scored), len(effects))

    def complete(self, haplotypes: Sequence[str] = (), closed: int = 0, unphased: int = 0) -> None:
        """Say that nothing is missing; parameters as of `append`.

        Raises
        ------
        FastISMError
            If variants are missing, or the disk is full.
        """
        if self.complete_already:
            return
        self._check_whole()
        end = {"end": True, "effects": [], "haplotypes": list(haplotypes)}
        self._append({**end, "closed": closed, "unphased": unphased, "dtype": "<f4"}, [], 0, 0)
        self.complete_already = True

    def opened(self) -> Effects:
        """What the file holds so far."""
        return Effects(self.path, handle=self._held)


def _plain(effect: Effect) -> list[Any]:
    """An effect without its values, as JSON has it."""
    variant = [getattr(effect.variant, name) for name in _VARIANT]
    window = effect.window and [getattr(effect.window, name) for name in _WINDOW]
    method = effect.method if effect.effect is not None else ""
    return [variant, effect.status.value, window, method]


class JoinedEffects:
    """All shards of a run, in any order; their effects come in the order of the VCF.

    Parameters
    ----------
    parts : sequence of Effects

    Raises
    ------
    FastISMError
        If they do not belong together, one is missing or there twice, or one is not finished.
    """

    def __init__(self, parts: Sequence[Effects]) -> None:
        for part in parts:
            if not part.complete:
                raise FastISMError(
                    f"{part.path} is not finished: {part.consumed} of {part.header.expected} "
                    "variants are done. Run the same command with --resume."
                )
        check_headers(parts)
        self._parts = sorted(parts, key=lambda part: part.header.shard)
        check_shards(self._parts)
        self.header = self._parts[0].header
        self.unphased = sum(part.unphased for part in self._parts)

    def effects(self) -> Iterator[Effect]:
        """See `Effects.effects`."""
        return (effect for part in self._parts for effect in part.effects())

    def haplotypes(self) -> Iterator[str]:
        """See `Effects.haplotypes`."""
        return (row for part in self._parts for row in part.haplotypes())


@contextmanager
def joined_effects(paths: Sequence[Path]) -> Iterator[JoinedEffects]:
    """Finished files of one run, opened, checked and read as one."""
    with ExitStack() as stack:
        yield JoinedEffects([stack.enter_context(Effects(path, verify=True)) for path in paths])
