"""`python -m pdistill` is `pdistill`."""

from pdistill.cli.main import main

if __name__ == "__main__":
    main()
