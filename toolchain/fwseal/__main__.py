"""`python -m fwseal` is the command `fwseal`."""

from fwseal.cli.main import run

run()
