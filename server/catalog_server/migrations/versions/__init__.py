"""Every schema version of this server, oldest first. A new one is added at the end and never edited later."""

from catalog_server.migrations.version import check_order
from catalog_server.migrations.versions import v0001_initial, v0002_probes

VERSIONS = check_order([v0001_initial.VERSION, v0002_probes.VERSION])
