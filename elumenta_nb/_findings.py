"""What a look at something found, and how a list of findings shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ._language import gettext as _, ngettext
from ._render import table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Finding", "Report"]

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at: a sentence, and what to do about a problem."""

    topic: str
    state: State
    text: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What the doctor found. Shows as a table; `frame()` is the same as data."""

    findings: tuple[Finding, ...]

    @property
    def problems(self) -> list[Finding]:
        """What keeps something from working."""
        return [finding for finding in self.findings if finding.state == "problem"]

    def frame(self) -> pd.DataFrame:
        """A row per finding: topic, state (ok, note, problem), finding, advice."""
        import pandas as pd

        rows = [(finding.topic, finding.state, finding.text, finding.advice) for finding in self.findings]
        return pd.DataFrame(rows, columns=["topic", "state", "finding", "advice"])

    def _repr_mimebundle_(self, **_kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        rows: list[tuple[str, str, str]] = []
        words = {"ok": _("ok"), "note": _("note"), "problem": _("PROBLEM")}
        for finding in self.findings:
            rows.append((words[finding.state], finding.topic, finding.text))
            rows += [("", "", f"→ {line}") for line in finding.advice.splitlines()]
        count = len(self.problems)
        title = ngettext("{n} problem", "{n} problems", count) if count else _("No problems.")
        return table((_("State"), _("What"), _("Finding")), rows, title=title)

    def __str__(self) -> str:
        return str(self._repr_mimebundle_()[0]["text/plain"])

    __repr__ = __str__
