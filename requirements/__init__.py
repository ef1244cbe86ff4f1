"""One lock per purpose, and the installer that reads them.

| lock | what it adds | needed by |
| :-- | :-- | :-- |
| `run.lock` | the base, three frameworks, the benchmark | `make run`, `make regression` |
| `test.lock` | to `run.lock`: command line, Slurm, what tests compare with | `make test` |
| `docs.lock` | to `run.lock`: what builds the site, command line | `make docs`, `make test` |

A line is a pin and the tags of its wheel, `numpy==2.4.6  # cp311-cp311-manylinux_2_28_x86_64`. All
is installed from wheels and without looking for dependencies, so that nothing is compiled and a
lock holds all there is. `tests/test_locks.py` holds them to that, and to the bounds of
`pyproject.toml`.

To renew the locks, after a change of `pyproject.toml` or `requirements/purposes.py`, on Linux
(x86-64) with Python 3.11 and a network:

    python -m requirements.lock              pins stay as they are where they can
    python -m requirements.lock --upgrade    the newest versions
    make test                                installs them, and compares them with what is there
"""
