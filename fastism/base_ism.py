"""What fast and naive ISM share: the calls of a model, but for scans.

Requirements: numpy; frameworks only through front ends.
"""

from fastism.calls.saturating import Saturating
from fastism.edits.methods import Perturbing
from fastism.pairs.methods import Pairing


class BaseISM(Saturating, Perturbing, Pairing):
    """What fast and naive ISM share.

    How the mutants of a group of sequences are run is theirs (`_run`); inputs, groups, the order of
    axes and results are of `fastism.calls.base.Calls`.
    """
