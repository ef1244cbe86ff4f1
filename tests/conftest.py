"""Settings made before Keras is imported (its backend cannot change within a process), and names.

The names of parametrised tests are held to `parameter_ids`.
"""

import gc
import os
from collections.abc import Iterator

import pytest
from parameter_ids import name_of

from benchmarks.records import environment

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
# JAX compiles every shape, and tests have thousands of tiny ones: what counts is how long it takes
# to compile them, not how fast they run. Where all models are compiled, it generates code in a
# simpler way; the other runs of the tests see that of users.
QUICK = "--xla_backend_optimization_level=0"
SIMPLE = f"{QUICK} --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", SIMPLE if os.environ["KERAS_BACKEND"] == "jax" else QUICK)
# Delta propagation is tested where nothing is to be gained by it as well; test_worth.py is about
# what users get there.
os.environ["FASTISM_NAIVE_BELOW"] = "0"

#: Files of tests that start workflows and take minutes. They run first: at the end, one process of
#: pytest-xdist would wait for the other.
FIRST = ("test_slurm", "test_workflow", "test_score_workflow", "test_tutorial")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes minutes before everything else, and leave the order as it is otherwise."""
    place = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(FIRST)))


@pytest.fixture(autouse=True, scope="module")
def only_new_objects_are_collected() -> Iterator[None]:
    """Leave out of garbage collection what was there before a file of tests.

    The frameworks alone are a million objects. Keras looks at each of them whenever it clears its
    session, and the benchmark before each run, which took almost half the time of all tests.
    """
    gc.collect()
    gc.freeze()
    yield


@pytest.fixture(autouse=True, scope="session")
def commands_leave_the_process_as_it_is() -> Iterator[None]:
    """Keep a command of the benchmark that a test calls from settling this process.

    It would bind it to fewer processors and name another backend of Keras, for all tests after it
    and for the processes that they start.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "prepare", lambda *given, **named: None)
        yield


def pytest_report_header() -> str:
    return f"Keras backend: {os.environ['KERAS_BACKEND']}"


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A name that is the same in every process, or none at all: then the file is not collected."""
    try:
        return name_of(val)
    except TypeError as error:
        pytest.fail(f"{argname}: {error}", pytrace=False)
