"""How hypothesis runs here: the same examples for everyone, unless exploring is asked for.

``FASTISM_EXPLORE=20 pytest tests/test_rules.py`` tries 20 times as many examples, new ones on every
run. A failure prints the example and, after that, a line that reproduces it.
"""

import os

from hypothesis import HealthCheck, Phase, settings

EXPLORE = int(os.environ.get("FASTISM_EXPLORE", "0"))


def profile(examples: int) -> settings:
    """Settings for a test that tries `examples` examples."""
    return settings(
        max_examples=examples * max(EXPLORE, 1),
        derandomize=not EXPLORE,
        database=None,
        deadline=None,
        print_blob=True,
        phases=[phase for phase in Phase if phase is not Phase.explain],  # it traces, slowly
        suppress_health_check=list(HealthCheck),
    )
