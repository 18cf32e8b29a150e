"""The figures this project holds itself to, each measured beside its peer in the same run: `python -m bench`."""
