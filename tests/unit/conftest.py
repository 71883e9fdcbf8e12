"""What every unit test shares: hypothesis without deadlines, since no test asserts a wall-clock figure.

Each run of the tests tries the same examples. `LARVA_EXAMPLES=100000 .venv/bin/pytest tests/unit -k fuzz` tries that
many others of each property; a failure prints the example and `@reproduce_failure(...)`, to put above the test.
"""

import os

from hypothesis import settings

settings.register_profile("house", deadline=None, derandomize=True, database=None)
settings.register_profile(
    "search", deadline=None, max_examples=int(os.environ.get("LARVA_EXAMPLES", "0")) or 100, print_blob=True
)
settings.load_profile("search" if os.environ.get("LARVA_EXAMPLES") else "house")
