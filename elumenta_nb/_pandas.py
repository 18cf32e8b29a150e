"""`df.elumenta`: what can be asked of a spend frame, registered when pandas is there, before or after us.

Glue: each method checks nothing itself and calls a pure function of `_spend`. Importing this imports nothing: it is part of importing the package.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo
    from decimal import Decimal
    from importlib.machinery import ModuleSpec
    from pathlib import Path
    from types import ModuleType

    import pandas as pd

    from ._spend import Forecast, Picture
    from ._values import Balance

__all__ = ["SpendAccessor", "install"]

_NAME: Final = "elumenta"


class SpendAccessor:
    """`map` of any frame, `results` and `gallery` of one that it returned; the rest are questions to a frame of `el.spend()`.

    The columns of that are in docs/spend-columns.md. Raises `BadParam` naming the missing columns on another frame.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def map(self, template: str | None = None, *, model: str, **options: Any) -> Any:
        """``el.map(df, …)``: a prompt for every row, planned, consented and paid once."""
        from ._session import current

        return current().map(self._frame, template, model=model, **options)

    def results(self) -> pd.Series[Any]:
        """The `Result` of each row of a frame that `el.map` returned, ``None`` where there is none; nothing is fetched."""
        from ._session import current

        return current().results_of(self._frame)

    def gallery(self, n: int = 24, *, columns: int = 4) -> Any:
        """The first `n` media of a frame that `el.map` returned, as thumbnails with their rows' labels."""
        from ._batch import gallery

        return gallery(self.results(), n=n, columns=columns)

    def by(self, key: str, *, tz: str | tzinfo | None = None) -> pd.DataFrame:
        """Sums by ``cell model category day notebook user tag`` or a column of words, the dearest first."""
        from ._spend import grouped

        return grouped(self._frame, key, tz)

    def over_time(
        self, freq: str = "D", by: str | None = "category", *, tz: str | tzinfo | None = None
    ) -> pd.DataFrame:
        """Tokens per local hour, day, week or month (``h D W M``), a column for each value of `by`; no period left out."""
        from ._spend import over_time

        return over_time(self._frame, freq, by, tz)

    def top(self, n: int = 10) -> pd.DataFrame:
        """The n calls that cost most."""
        from ._spend import dearest

        return dearest(self._frame, n)

    def cumulative(self) -> pd.DataFrame:
        """`started_at`, `tokens` and the running `total` of what was charged, the oldest first."""
        from ._spend import cumulative

        return cumulative(self._frame)

    def forecast(self, balance: int | Balance | None = None, *, tz: str | tzinfo | None = None) -> Forecast:
        """When the balance ends; no date where the data do not bear one. Without `balance`, the last one a reply told.

        ``el.balance()`` may also know of tokens that expire before they are used, and of a refill.
        """
        from datetime import datetime

        from ._spend import daily, forecast, last_balance, zone_of

        today = datetime.now(zone_of(tz)).date()
        days = daily(self._frame, today, tz)
        return forecast(days, today, last_balance(self._frame) if balance is None else balance)

    def to_rubles(
        self, *, plan: str | None = None, package: str | None = None, rate: str | int | Decimal | None = None
    ) -> pd.DataFrame:
        """With a column `rubles` (`Decimal`): an estimate on one stated basis, kept in ``.attrs["rubles_basis"]``.

        Works on sums as well: ``df.elumenta.by("model").elumenta.to_rubles(plan="VIP")``.
        """
        from ._spend import rate_of, with_rubles

        return with_rubles(self._frame, rate_of(plan, package, rate))

    def plot_over_time(
        self, freq: str = "D", by: str | None = "category", *, tz: str | tzinfo | None = None
    ) -> Picture:
        """`over_time` as stacked bars, with its table."""
        from ._spend import Picture, over_time, stacked

        table = over_time(self._frame, freq, by, tz)
        return Picture(stacked(table), table, live=_live())

    def plot_by(self, key: str, *, n: int = 15, tz: str | tzinfo | None = None) -> Picture:
        """`by` as bars, the n dearest, with its table."""
        from ._spend import GROUPS, Picture, bars, grouped

        table = grouped(self._frame, key, tz)
        return Picture(bars(table.head(n), GROUPS.get(key, (key,))), table, live=_live())

    def plot_cumulative(self) -> Picture:
        """`cumulative` as a line, with its table."""
        from ._spend import Picture, cumulative, line

        table = cumulative(self._frame)
        return Picture(line(table), table, live=_live())

    def to_excel_csv(self, path: str | Path) -> None:
        """A CSV that Excel opens by a double click in a Russian locale: semicolons, decimal commas, UTF-8 with its mark."""
        from ._spend import write_excel_csv

        write_excel_csv(self._frame, path)

    def to_parquet(self, path: str | Path) -> None:
        """Parquet with these dtypes, by pandas. Raises `ConfigError` naming the extra when pyarrow is missing."""
        self._written("to_parquet", path)

    def to_arrow(self, path: str | Path) -> None:
        """An Arrow (Feather) file with these dtypes, by pandas. Raises `ConfigError` as `to_parquet`."""
        self._written("to_feather", path)

    def _written(self, how: str, path: str | Path) -> None:
        from importlib.util import find_spec

        from ._errors import ConfigError
        from ._language import gettext as _

        if find_spec("pyarrow") is None:
            raise ConfigError(
                _("Parquet and Arrow files need pyarrow, which is not installed."),
                hint='pip install "elumenta-nb[batch]"',
            )
        frame = self._frame.reset_index(drop=True)
        frame.attrs = {}
        getattr(frame, how)(path)


def _live() -> bool:
    from ._surroundings import is_live

    return is_live()


# ---------------------------------------------------------------- registration


def install() -> None:
    """Register the accessor now if pandas is loaded, else the moment it is."""
    pandas = sys.modules.get("pandas")
    if pandas is not None and hasattr(pandas, "DataFrame"):
        _register(pandas)
    elif not any(isinstance(finder, _WhenImported) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WhenImported())


def _register(pandas: ModuleType) -> None:
    if _NAME not in vars(pandas.DataFrame):  # an autoreload registers once: pandas warns of a second time
        pandas.api.extensions.register_dataframe_accessor(_NAME)(SpendAccessor)


class _WhenImported:
    """A finder that finds nothing itself: it lets the others find pandas and registers once that is executed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "pandas":
            return None
        for finder in [finder for finder in sys.meta_path if finder is not self]:
            found = finder.find_spec(name, path, target)
            if found is not None:
                self._follow(found)
                return found
        return None

    def _follow(self, spec: ModuleSpec) -> None:
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module  # the loader is as it was for whoever asks it later
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            _register(module)

        loader.exec_module = exec_module
