"""Spend as DataFrames, charts and forecasts, and what to buy. pandas is imported when a frame is made, not before."""

from ._analysis import (
    Rate,
    cumulative,
    daily,
    dearest,
    grouped,
    last_balance,
    over_time,
    rate_of,
    with_rubles,
)
from ._charts import Picture, bars, drawable, install_line, line, outlook, png, redraw, shown, stacked, svg, widget
from ._export import write_excel_csv
from ._forecast import Forecast, forecast
from ._frames import COLUMNS, EXTRA, GROUPS, spend_frame, zone_of
from ._plans import Mix, cheapest_mix, plans_frame

__all__ = [
    "COLUMNS",
    "EXTRA",
    "GROUPS",
    "Forecast",
    "Mix",
    "Picture",
    "Rate",
    "bars",
    "cheapest_mix",
    "cumulative",
    "daily",
    "dearest",
    "drawable",
    "forecast",
    "grouped",
    "install_line",
    "last_balance",
    "line",
    "outlook",
    "over_time",
    "plans_frame",
    "png",
    "rate_of",
    "redraw",
    "shown",
    "spend_frame",
    "stacked",
    "svg",
    "widget",
    "with_rubles",
    "write_excel_csv",
    "zone_of",
]
