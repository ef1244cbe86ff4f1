"""Other implementations of ISM, each run in an environment of its own.

The scripts `run_*.py` of this folder import nothing of this repository (the published package is
called `fastism` too) and are run by the Python of their environment, which the workflow makes from
`workflows/envs`; `benchmarks.peers.record` turns what they write into records.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """One other implementation.

    Attributes
    ----------
    name : str
        What configs and records call it; names its script and its requirements too.
    label : str
        What tables and figures call it.
    framework : str
        What it runs on.
    """

    name: str
    label: str
    framework: str

    @property
    def requirements(self) -> str:
        """Its pinned requirements, relative to the repository."""
        return f"workflows/envs/{self.name}.txt"

    @property
    def script(self) -> str:
        """What its environment runs, relative to the repository."""
        return f"benchmarks/peers/run_{self.name}.py"


PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("fastism05", "fastISM 0.5.1", "tensorflow"),
        Peer("yuzu", "Yuzu 0.0.1", "torch"),
        Peer("tangermeme", "tangermeme 1.6.0", "torch"),
    )
}
