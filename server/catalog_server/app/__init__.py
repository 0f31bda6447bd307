"""The composition root: what a replica consists of, and the order in which its parts start and stop.

Authority: this package alone builds the parts and hands them to each other.
* `Runtime` is everything that needs valid settings and a database: pools, migrations, workers, elector.
* `Server` is what lives as long as the process: listener, signals, configuration and the current `Runtime`.

Guarantees:
* Invalid settings or an unreachable database never end the process: it is live, not ready, and says why; it
  becomes ready by itself, or by SIGHUP after the settings were mended.
* SIGTERM: /readyz fails first, then requests in flight finish, then workers hand back what they hold, then
  the singleton loops end and the lease is released, then the pools close.
* A new configuration that is invalid leaves the old one at work.

Non-guarantee: the listen address, the replica's name and its log level need a restart of the process.
"""

from catalog_server.app.server import CannotListen, Server

__all__ = ["CannotListen", "Server"]
