"""Arrays that groups of sequences fill: one allocation, in the layout of the model."""

import numpy as np
import pytest

from fastism.calls.axis_order import AxisOrder
from fastism.calls.filled import Filled


@pytest.mark.parametrize("swapped", [False, True])
def test_groups_write_into_the_arrays_of_all_sequences(swapped):
    order = AxisOrder(characters_first=swapped)
    whole = Filled(5, (3, 4), order)
    for part in (slice(0, 2), slice(2, 5)):
        sequences = np.arange(5)[part]
        (view,) = whole.group(part, [np.repeat(sequences[:, None], 6, 1).astype(np.float32)])
        assert view.shape == (len(sequences), 3, 4, 6)
        assert np.shares_memory(view, whole.mutants[0])
        view[:, 2, 1] += 10
    assert whole.mutants[0].shape == (5, 3, 4, 6)
    leaving = order.outward(whole.mutants[0])
    assert leaving.shape == ((5, 4, 3, 6) if swapped else (5, 3, 4, 6))
    assert leaving.flags.c_contiguous  # users get whole arrays, and nothing is copied
    assert whole.mutants[0].dtype == whole.reference[0].dtype == np.float32
    mutants = whole.mutants[0]
    for number in range(5):
        assert (whole.reference[0][number] == number).all()
        assert (mutants[number, 2, 1] == number + 10).all()
        assert (mutants[number, :2] == number).all()


def test_a_type_that_is_asked_for_is_that_of_reference_and_mutants():
    whole = Filled(1, (2,), dtype=np.dtype("float16"))
    whole.group(slice(0, 1), [np.ones((1, 3), np.float32), np.zeros((1, 1), np.float32)])
    arrays = [*whole.reference, *whole.mutants]
    assert {array.dtype for array in arrays} == {np.dtype("float16")}
    assert [array.shape for array in whole.mutants] == [(1, 2, 3), (1, 2, 1)]
