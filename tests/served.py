"""`pdistill serve` as a separate process."""

import re
import subprocess

PROGRAM = (
    "import signal\n"
    "from pdistill.cli.main import main\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "main()\n"
)
"""The command line as started from a terminal: background processes of a script ignore Ctrl-C."""


def address_of(process: subprocess.Popen[str]) -> str:
    """Return the address that the server names first; a process that says something else is killed, and the test fails."""
    assert process.stdout
    line = process.stdout.readline()
    named = re.match(r"\S+ is served at (http://127\.0\.0\.1:\d+/v1);", line)
    if named is None:
        process.kill()
        raise AssertionError(f"{line!r}, then {process.communicate()}")
    return named[1]
