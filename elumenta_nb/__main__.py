"""`python -m elumenta_nb`: the same as the command `elumenta-nb`."""

from ._cli import main

if __name__ == "__main__":
    raise SystemExit(main())
