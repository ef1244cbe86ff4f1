"""The output of `fastism variants`.

Requirements: numpy; biopython for VCF compressed by bgzip.
"""

from __future__ import annotations

from pathlib import Path

from fastism.batch.effect_export import EFFECTS, effect_outputs, write_joined
from fastism.cli.destination import Destination
from fastism.errors import FastISMError
from fastism.store.effects import EffectHeader, Effects, EffectWriter, joined_effects


class EffectDestination(Destination):
    """Effects of variants, and the unfinished journal beside them.

    Parameters
    ----------
    output : Path
    shard : (int, int)
    vcf : Path
        What the variants come from.
    phased : bool
        Whether there are haplotypes too.
    force, resume : bool
        As of `Destination`, whose errors it has.
    """

    writer = EffectWriter
    unit = "variants"

    def __init__(
        self,
        output: Path,
        shard: tuple[int, int],
        vcf: Path,
        *,
        phased: bool,
        force: bool,
        resume: bool,
    ) -> None:
        self._vcf, self._phased = vcf, phased
        super().__init__(output, shard, force=force, resume=resume)

    def _files(self) -> list[Path]:
        if not self.is_shard:
            return effect_outputs(self.output, self._phased)
        if not self.output.name.lower().endswith(EFFECTS):
            raise FastISMError(
                f"A shard is no table yet: {self.output} must end in {EFFECTS}. `fastism export` "
                "makes one table of all of them."
            )
        return [self.output]

    def _check_planned(self, header: EffectHeader) -> None:
        """Every format holds whatever variants have."""

    def _header(self) -> EffectHeader | None:
        if not self.is_shard:
            return None
        with Effects(self.output) as effects:
            return effects.header

    def _progress(self, path: Path) -> tuple[int, int]:
        with Effects(path) as effects:
            return effects.consumed, effects.header.expected

    def _write(self) -> list[Path]:
        with joined_effects([self.partial]) as joined:
            return write_joined(joined, self.output, self._vcf)
