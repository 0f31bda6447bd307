"""`python -m catalog_server` is the command `catalog-server`."""

from catalog_server.cli import main

main()
