"""Scans: every deletion, every insertion and every chimera, from two references and a junction.

A sequence with letters deleted at a position is the sequence to the left of it and the sequence
shifted to its right. Two passes through the model serve all positions: whatever lies left of the
junction of both parts comes from one, whatever lies right of it from the other, and only the
junction, as wide as the receptive field of each layer, is computed for every position.
"""

from fastism.scans.methods import Scans
from fastism.scans.result import Scan

__all__ = ["Scan", "Scans"]
