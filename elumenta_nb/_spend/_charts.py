"""Charts of spend as Vega-Lite: interactive by Altair's widget, still by vl-convert, never with a CDN or a network.

The drawings are plain dictionaries, so that a still needs no `import altair` (1.2 s). Without the extra `plots` the
table is shown instead, with a line that says what to install.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import re
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from elumenta_nb._errors import BadParam, ConfigError
from elumenta_nb._language import gettext as _, language, number, tokens
from elumenta_nb._render import table as table_bundle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from ._forecast import Forecast

__all__ = [
    "WIDTH",
    "Picture",
    "bars",
    "drawable",
    "install_line",
    "line",
    "outlook",
    "png",
    "redraw",
    "shown",
    "stacked",
    "svg",
    "together",
    "widget",
]

Spec = dict[str, Any]

WIDTH: Final = 640
HEIGHT: Final = 240
MOST_SERIES: Final = 8
MOST_POINTS: Final = 2000
# Okabe and Ito's colours, told apart by most eyes; grey is for the rest.
COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#8c6bb1")
REST: Final = "#8a8a8a"
INK: Final = "#7a7a7a"  # readable on white and on black: a still cannot know the theme
_MONTHS: Final = ("января февраля марта апреля мая июня июля августа сентября октября ноября декабря", "янв фев мар апр мая июн июл авг сен окт ноя дек")  # fmt: skip
_DAYS: Final = ("воскресенье понедельник вторник среда четверг пятница суббота", "вс пн вт ср чт пт сб")
_FOLDER_HASH: Final = re.compile(r"@[0-9a-f]{6}$")
_CELL_ID: Final = re.compile(r"(source|cell)-[0-9a-f]+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8}")
_bundled: Final = threading.Lock()
_offline = False


# ---------------------------------------------------------------- drawings


def stacked(table: pd.DataFrame) -> Spec:
    """Bars over time, stacked by the columns of `over_time`; the smallest of many series are drawn as one."""
    names = [str(name) for name in table.columns]
    kept = names if len(names) <= MOST_SERIES else names[:MOST_SERIES]  # no colour twice
    rest = _("other")
    drawn = [*kept, rest] if len(kept) < len(names) else kept
    starts = list(table.index)
    ends = [*starts[1:], *_ends(table)]
    columns = {str(name): table[name].tolist() for name in table.columns}
    if len(kept) < len(names):
        columns[rest] = [sum(int(columns[name][at]) for name in names[MOST_SERIES:]) for at in range(len(starts))]
    values = []
    for at, (start, end) in enumerate(zip(starts, ends, strict=True)):
        low = 0  # stacked here: Vega-Lite does not stack bars that have both their ends
        for name in drawn:
            spent = int(columns[name][at])
            if spent:
                edges = {
                    "start": _iso(start),
                    "end": _iso(start + (end - start) * 0.9),
                    "low": low,
                    "high": low + spent,
                }
                values.append({**edges, "key": _word(name), "tokens": spent})
            low += spent
    domain = [_word(name) for name in drawn]
    colours = [REST if name == rest and len(kept) < len(names) else COLOURS[at % len(COLOURS)] for at, name in enumerate(drawn)]  # fmt: skip
    hourly = any(start.hour for start in starts)
    long = len(starts) > 1 and (starts[-1] - starts[0]).days > 360
    when = {
        "field": "start",
        "type": "temporal",
        "title": None,
        "axis": {"format": "%b %Y" if long else "%e %b %H:%M" if hourly else "%e %b", "tickCount": 8},
    }
    return _spec(
        values,
        mark={"type": "rect", "stroke": None},
        encoding={
            "x": when,
            "x2": {"field": "end"},
            "y": {"field": "low", "type": "quantitative", "title": _("Tokens")},
            "y2": {"field": "high"},
            "color": {
                "field": "key",
                "type": "nominal",
                "title": None,
                "scale": {"domain": domain, "range": colours},
                "legend": {"orient": "top", "columns": 4, "labelLimit": 150} if len(domain) > 1 else None,
            },
            "tooltip": [
                {"field": "start", "type": "temporal", "title": _("From"), "format": "%d %b %Y"},
                {"field": "key", "type": "nominal", "title": _("What")},
                {"field": "tokens", "type": "quantitative", "title": _("Tokens"), "format": ","},
            ],
        },
    )


def _word(name: str) -> str:
    return shown(name) or "–"


def _iso(moment: Any) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}"


def _ends(table: pd.DataFrame) -> list[Any]:
    """The end of the last period, as long as the one before it."""
    if not len(table):
        return []
    last = table.index[-1]
    return [last + (last - table.index[-2] if len(table) > 1 else timedelta(days=1))]


def bars(table: pd.DataFrame, keys: Sequence[str], *, figure: str = "tokens") -> Spec:
    """A bar for each row of a grouped frame, in its order; a cell is called by its label and notebook."""
    words = list(_NAMED_BY.get(tuple(keys), tuple(keys)))
    names: list[str] = []
    for row in table[words].itertuples(index=False):
        name = " · ".join(_shown(word) for word in row)
        same = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({same + 1})" if same else name)
    values = [
        {"name": name, "tokens": int(spent), "calls": int(calls), "said": number(int(spent))}
        for name, spent, calls in zip(names, table[figure], table["calls"], strict=True)
    ]
    y = {"field": "name", "type": "nominal", "title": None, "sort": names, "axis": {"labelLimit": 260}}
    x = {"field": "tokens", "type": "quantitative", "title": _("Tokens"), "axis": {"tickCount": 5}}
    spec = _spec(
        values,
        encoding={
            "y": y,
            "tooltip": [
                {"field": "name", "type": "nominal", "title": _("What")},
                {"field": "tokens", "type": "quantitative", "title": _("Tokens"), "format": ","},
                {"field": "calls", "type": "quantitative", "title": _("Calls"), "format": ","},
            ],
        },
    )
    spec["layer"] = [
        {"mark": {"type": "bar", "color": COLOURS[0], "cornerRadiusEnd": 2}, "encoding": {"x": x}},
        {
            "mark": {"type": "text", "align": "left", "dx": 4, "color": INK},
            "encoding": {"x": x, "text": {"field": "said", "type": "nominal"}},
        },
    ]
    spec["height"] = {"step": 24}
    return spec


_NAMED_BY: Final = {("notebook", "cell", "category", "model"): ("cell", "notebook"), ("model", "category"): ("model",)}


def _shown(word: Any) -> str:
    if hasattr(word, "strftime"):
        return f"{word:%Y-%m-%d}"
    return shown(str(word)) or "–"


def shown(word: str) -> str:
    """A word of the ledger for people: a notebook without the hash of its folder, a cell's id as what it is."""
    if _CELL_ID.fullmatch(word):
        return _("cell with no label")
    return _FOLDER_HASH.sub("", word)


def line(table: pd.DataFrame) -> Spec:
    """The running total as steps."""
    every = max(1, -(-len(table) // MOST_POINTS))
    thin = table.iloc[sorted({*range(0, len(table), every), len(table) - 1})] if len(table) else table
    values = [
        {"at": f"{at:%Y-%m-%dT%H:%M:%SZ}", "total": int(total)}
        for at, total in zip(thin["started_at"], thin["total"], strict=True)
    ]
    return _spec(
        values,
        mark={"type": "area", "interpolate": "step-after", "line": {"color": COLOURS[0]}, "color": COLOURS[0], "opacity": 0.25},
        encoding={
            "x": {"field": "at", "type": "temporal", "title": None, "axis": {"format": "%e %b", "tickCount": 8}},
            "y": {"field": "total", "type": "quantitative", "title": _("Tokens, all together")},
            "tooltip": [
                {"field": "at", "type": "temporal", "title": _("When"), "format": "%d %b %Y %H:%M"},
                {"field": "total", "type": "quantitative", "title": _("Tokens"), "format": ","},
            ],
        },
    )  # fmt: skip


def outlook(found: Forecast, today: Any) -> Spec | None:
    """The balance on its way to zero: the middle as a line, 4 of 5 futures as a band. ``None`` without a date."""
    if found.balance is None or found.ends_on is None or found.earliest is None:
        return None
    last = found.latest or found.ends_on + (found.ends_on - today)
    balance: int = found.balance

    def left(day: Any, end: Any) -> float:
        gone: float = (day - today).days / max((end - today).days, 1)
        return max(balance * (1 - gone), 0.0)

    ends = {"low": found.earliest, "mid": found.ends_on, "high": last}
    values = [
        {"day": f"{day}T00:00:00", **{name: left(day, end) for name, end in ends.items()}}
        for day in sorted({today, *ends.values()})
    ]
    values = [value | ({"mid": None} if str(value["day"])[:10] > f"{found.ends_on}" else {}) for value in values]
    x = {"field": "day", "type": "temporal", "title": None, "axis": {"format": "%e %b", "tickCount": 6}}
    spec = _spec(values, encoding={"x": x})
    spec["layer"] = [
        {
            "mark": {"type": "area", "color": COLOURS[0], "opacity": 0.2},
            "encoding": {
                "y": {"field": "low", "type": "quantitative", "title": _("Balance, tokens")},
                "y2": {"field": "high"},
            },
        },
        {
            "mark": {"type": "line", "color": COLOURS[0], "strokeDash": [6, 3]},
            "encoding": {"y": {"field": "mid", "type": "quantitative"}},
        },
    ]
    spec["height"] = 160
    return spec


def _spec(values: list[dict[str, Any]], **parts: Any) -> Spec:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",  # a name, never fetched
        "width": WIDTH,
        "height": HEIGHT,
        "background": "transparent",
        "data": {"values": values},
        **parts,
        "config": {
            "view": {"stroke": None},
            "axis": {"labelColor": INK, "titleColor": INK, "gridColor": INK, "gridOpacity": 0.2, "domainColor": INK, "tickColor": INK, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
            "axisX": {"grid": False, "labelOverlap": True, "labelSeparation": 8},
            "legend": {"labelColor": INK, "titleColor": INK, "labelFontSize": 12},
            "text": {"fontSize": 12},
            **({"locale": _russian()} if language() == "ru" else {}),
        },
    }  # fmt: skip


def _russian() -> dict[str, Any]:
    return {
        "number": {"decimal": ",", "thousands": "\N{NO-BREAK SPACE}", "grouping": [3], "currency": ["", " ₽"]},
        "time": {
            "dateTime": "%A, %e %B %Y %X",
            "date": "%d.%m.%Y",
            "time": "%H:%M:%S",
            "periods": ["", ""],
            "days": _DAYS[0].split(),
            "shortDays": _DAYS[1].split(),
            "months": _MONTHS[0].split(),
            "shortMonths": _MONTHS[1].split(),
        },
    }


def together(named: Mapping[str, Spec]) -> Spec:
    """Several drawings as one, below each other, each with its name."""
    whole = ("config", "$schema", "background")  # not of a part
    parts = []
    for name, spec in named.items():
        title = {"text": name, "anchor": "start", "color": INK, "fontSize": 14}
        parts.append({"title": title, **{key: value for key, value in spec.items() if key not in whole}})
    first = next(iter(named.values()))
    return {
        **{key: first[key] for key in whole},
        "vconcat": parts,
        "resolve": {"scale": {"color": "independent", "x": "independent", "y": "independent"}},
    }


# ---------------------------------------------------------------- showing


def drawable() -> bool:
    """Whether the extra `plots` is here; nothing is imported."""
    return all(importlib.util.find_spec(name) for name in ("altair", "vl_convert"))


def install_line() -> str:
    return _("For charts: pip install {what}").format(what='"elumenta-nb[plots]"')


def _need() -> None:
    if not drawable():
        raise ConfigError(
            _("Charts need the extra plots, which is not installed."), hint='pip install "elumenta-nb[plots]"'
        )


def svg(spec: Spec) -> str:
    """The still as SVG. Raises `ConfigError` without the extra."""
    _need()
    import vl_convert

    drawn: str = vl_convert.vegalite_to_svg(spec)
    return drawn


def png(spec: Spec, *, scale: float = 1.5) -> bytes:
    """The still as PNG. Raises `ConfigError` without the extra."""
    _need()
    import vl_convert
    from PIL import Image

    drawn = Image.open(io.BytesIO(vl_convert.vegalite_to_png(spec, scale=scale)))
    out = io.BytesIO()  # in 256 colours: a quarter of the bytes in the notebook
    drawn.convert("RGBA").quantize(256, method=Image.Quantize.FASTOCTREE).save(out, "PNG", optimize=True)
    return out.getvalue()


def widget(spec: Spec) -> Any:
    """An Altair widget that needs no network: Vega travels inside it (0.9 MB); the first takes two seconds to make.

    Its text has the colour of what is around it, so it reads in light and dark. Raises `ConfigError`.
    """
    _need()
    import altair as alt

    global _offline  # noqa: PLW0603 - Altair keeps the same switch for the process
    with _bundled:
        if not _offline:
            alt.JupyterChart.enable_offline(True)
            _offline = True
    chart: Any = alt.JupyterChart(cast("Any", None), embed_options={"renderer": "svg", "actions": False})
    redraw(chart, spec)
    return chart


def redraw(chart: Any, spec: Spec) -> None:
    """Another drawing in the same widget."""
    chart.spec = _inked(spec)  # past Altair's check of the schema, which takes longer than drawing


def _inked(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _inked(value) for key, value in part.items()}
    if isinstance(part, list):
        return [_inked(value) for value in part]
    return "currentColor" if part == INK else part


class Picture:
    """A chart with its table: `frame` is the table, `chart` the Altair chart to change, `spec` the Vega-Lite.

    Shown alive where a widget can live, else as a still; without the extra as the table.
    """

    def __init__(self, spec: Spec, frame: pd.DataFrame, *, live: bool = False) -> None:
        self.spec = spec
        self.frame = frame
        self._live = live

    @property
    def chart(self) -> Any:
        """The Altair chart. Raises `ConfigError` without the extra."""
        _need()
        import altair as alt

        kind = alt.LayerChart if "layer" in self.spec else alt.Chart
        return kind.from_dict(self.spec, validate=False)

    def save(self, path: str | Path) -> None:
        """Write it as ``.svg`` or ``.png``, by its name. Raises `BadParam` for another, `ConfigError` without the extra."""
        from pathlib import Path

        target = Path(path)
        match target.suffix.lower():
            case ".svg":
                target.write_text(svg(self.spec), encoding="utf-8")
            case ".png":
                target.write_bytes(png(self.spec, scale=2))
            case _other:
                raise BadParam(_("A chart is saved as .svg or .png."), hint='.save("spend.svg")')

    def __repr__(self) -> str:
        return str(self.frame)

    def _repr_mimebundle_(self, **_kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        if not drawable():
            columns = [str(name) for name in self.frame.columns]
            rows = [[_plain(value) for value in row] for row in self.frame.head(30).itertuples(index=False)]
            return table_bundle(columns, rows, hint=install_line())
        data: dict[str, Any] = {
            "text/plain": repr(self),
            "image/png": base64.b64encode(png(self.spec)).decode("ascii"),
        }
        if self._live:
            view: Mapping[str, Any] = widget(self.spec)._repr_mimebundle_()[0]
            data |= {mime: value for mime, value in view.items() if mime.endswith("widget-view+json")}
        return data, {"image/png": {"width": WIDTH, "alt": self.alt}}

    @property
    def alt(self) -> str:
        """What the picture says, for those who do not see it."""
        if "tokens" in self.frame.columns:
            spent = int(self.frame["tokens"].sum())
        else:
            spent = int(self.frame.to_numpy().sum()) if len(self.frame.columns) else 0
        return _("Chart of spend: {tokens}; the same as a table is in .frame").format(tokens=tokens(spent))


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value if isinstance(value, int | float | None) else str(value)
