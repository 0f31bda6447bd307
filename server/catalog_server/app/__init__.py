"""The composition root: what a replica consists of, and the order in which its parts start and stop.

Authority: this package alone builds the parts and hands them to each other.
* `Runtime` is everything that needs valid settings and a database: pools, migrations, workers, elector.
* `Server` is what lives as long as the process: listener, signals, configuration and the current `Runtime`.

Guarantees:
* Invalid settings or an unreachable database never end the process: it is live, not ready, and says why; it
  becomes ready by itself, or by SIGHUP after the settings were mended.
* SIGTERM: /readyz fails first. Then requests in flight finish, workers finish or hand back what they hold, and the
  singleton loops end and the lease is released; none of these waits for another. At last the pools close.
* A new configuration that is invalid leaves the old one at work.

Non-guarantee: the listen address, the replica's name and its log level need a restart of the process.
"""

from catalog_server.app.server import CannotListen, Server

__all__ = ["CannotListen", "Server"]
