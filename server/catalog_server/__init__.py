"""A minimal catalog server that is safe to run as several replicas.

`docs/architecture.md` shows the rooms of this package and the way imports point;
`docs/guarantees.md` lists what it promises, where each promise is upheld, and the test that holds it.
"""

__version__ = "0.1.0"
