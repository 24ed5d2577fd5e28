"""Runs the command line, as `python -m pdistill` and as the command `pdistill`; it stops quietly from its first moments on."""

STOPPED = 130

try:
    import os
    import signal
except KeyboardInterrupt:
    raise SystemExit(STOPPED) from None


def main() -> None:
    """Run the command line of this process, and exit with its exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    from pdistill.cli.main import main as command_line

    command_line()


def _leave(signum: int, frame: object) -> None:
    """End the process while its modules are imported: nothing has begun, and an exception there would be shown, or lost."""
    os._exit(STOPPED)


if __name__ == "__main__":
    main()
