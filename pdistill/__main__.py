"""Runs the command line as `python -m pdistill`."""

from pdistill.cli.main import main

if __name__ == "__main__":
    main()
