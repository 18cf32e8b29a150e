"""Spend as DataFrames, and what to buy. pandas is imported when a frame is made, not before."""

from ._frames import COLUMNS, EXTRA, spend_frame
from ._plans import Mix, cheapest_mix, plans_frame

__all__ = ["COLUMNS", "EXTRA", "Mix", "cheapest_mix", "plans_frame", "spend_frame"]
