"""How fast it is, measured on this machine and compared within one run: `python -m bench`, or `make bench`.

Nothing here asserts. Absolute figures depend on the machine and its neighbours; the ratios, and the raw
pgbench loop of the same run, are what can be compared. PostgreSQL runs with fsync on, as in a deployment.
"""

import sys
from pathlib import Path

# The benchmark starts real servers in the same way as the tests do.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
