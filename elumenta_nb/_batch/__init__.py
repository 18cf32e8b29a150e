"""Mapping a prompt over a DataFrame: planned and consented before, paid once per row, resumed after any end.

`_spec` what is asked, `_rows` the calls of a frame, `_plan` what they cost and which are paid, `_runner` sees them
through, `_joining` those of other runs, `_gate` how many at once, `_sheet` the frame that comes back, `_map` all of it.
On a cluster: `_cluster` sends parts, `_worker` sees one through, `_partitions` does so for a `dask.dataframe`, `_share` is
the account's hour as all processes use it.
"""

from __future__ import annotations

from ._gallery import gallery
from ._map import Map, Prepared, consent, plan_map, prepare, results_of, run_map
from ._plan import Plan
from ._runner import Done, Runner, Task
from ._spec import Spec

__all__ = [
    "Done",
    "Map",
    "Plan",
    "Prepared",
    "Runner",
    "Spec",
    "Task",
    "consent",
    "gallery",
    "plan_map",
    "prepare",
    "results_of",
    "run_map",
]
