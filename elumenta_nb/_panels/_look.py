"""PURE. How panels look: their style sheet and the small pieces of HTML in them. Everything from outside is escaped.

Colours are the theme's own variables; a state is always said in words as well. That a click may wait for a running
cell cannot be said by the kernel, which is busy: the style sheet says it, by the state the front end shows itself.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

from elumenta_nb._errors import ElumentaError, JobTimedOut
from elumenta_nb._language import gettext as _
from elumenta_nb._markdown import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["explained", "facts", "growing", "heading", "help_text", "notice", "progress", "source_box", "style"]

CSS: Final = """
.elumenta-panel { max-width: 920px; padding: 4px 2px 8px; overflow: hidden;
  font-family: var(--jp-ui-font-family, system-ui, sans-serif); font-size: var(--jp-ui-font-size1, 13px);
  color: var(--jp-ui-font-color1, inherit);
  --jp-widgets-dropdown-arrow: url("data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 18 18'%3E%3Cpath d='M5 7l4 4 4-4' fill='none' stroke='gray' stroke-width='2'/%3E%3C/svg%3E"); }
.elumenta-panel .widget-html, .elumenta-panel .widget-html-content { line-height: 1.45; height: auto; min-width: 0; }
.elumenta-panel .widget-html-content { color: var(--jp-ui-font-color1, inherit); overflow-wrap: anywhere; }
.elumenta-panel .widget-label { color: var(--jp-ui-font-color1, inherit); }
.elumenta-panel .widget-text input, .elumenta-panel .widget-textarea textarea, .elumenta-panel select,
.elumenta-panel .widget-combobox input { background-color: var(--jp-layout-color1, Field); color: var(--jp-ui-font-color1, FieldText);
  border: 1px solid var(--jp-border-color1, #999); border-radius: 4px; }
.elumenta-panel ::placeholder { color: var(--jp-ui-font-color2, GrayText); opacity: 1; }
.elumenta-panel .elumenta-models select { font-family: var(--jp-code-font-family, monospace); font-size: 12px; padding: 2px; }
.elumenta-panel .elumenta-models option { padding: 2px 4px; }
.elumenta-panel .jupyter-button { border-radius: 4px; padding: 0 14px; height: 32px; line-height: 30px; width: auto;
  border: 1px solid var(--jp-border-color1, #999); background: var(--jp-layout-color2, ButtonFace);
  color: var(--jp-ui-font-color1, ButtonText); }
.elumenta-panel .jupyter-button:hover:enabled { background: var(--jp-layout-color3, ButtonFace); box-shadow: none; }
.elumenta-panel .jupyter-button.elumenta-main { background: var(--jp-brand-color1, #1976d2); color: var(--jp-ui-inverse-font-color1, #fff);
  border-color: transparent; font-weight: 600; }
.elumenta-panel .jupyter-button.elumenta-main:hover:enabled { background: var(--jp-brand-color0, #115293); }
.elumenta-panel .jupyter-button.elumenta-dear { border: 2px solid var(--jp-warn-color1, #f57c00); font-weight: 600; line-height: 28px; }
.elumenta-panel .jupyter-button:disabled { opacity: .5; cursor: default; }
.elumenta-panel .jupyter-button.elumenta-away { display: none; }
.elumenta-panel.elumenta-panel.elumenta-panel :is(button, input, textarea, select, pre, summary, .lm-TabBar-tab):focus-visible {
  outline: 2px solid var(--jp-brand-color1, Highlight) !important; outline-offset: 1px; }
.elumenta-panel .elumenta-buttons { flex-flow: row wrap; gap: 8px; margin: 6px 0 2px; align-items: center; overflow: visible; }
.elumenta-panel .elumenta-buttons .jupyter-button { margin: 0; flex: 0 0 auto; }
.elumenta-panel .elumenta-buttons::after { content: var(--elumenta-waits); visibility: hidden; color: var(--jp-ui-font-color2, GrayText); }
.elumenta-panel:is(.jp-NotebookPanel:has(.jp-Notebook-ExecutionIndicator[data-status="busy"]) *) .elumenta-buttons::after {
  visibility: visible; transition: visibility 0s 1s; }
.elumenta-panel .elumenta-params { grid-template-columns: repeat(auto-fill, minmax(min(310px, 100%), 1fr)); grid-gap: 2px 18px;
  overflow: hidden; }
.elumenta-panel .elumenta-params > .widget-vbox { overflow: hidden; }
.elumenta-panel .elumenta-help { margin: -3px 2px 6px 130px; line-height: 1.3; font-size: 12px; color: var(--jp-ui-font-color2, GrayText); }
.elumenta-panel .elumenta-facts { margin-top: 8px; display: flex; flex-wrap: wrap; gap: 2px 22px; align-items: baseline; min-height: 26px; }
.elumenta-panel .elumenta-facts .elumenta-price { font-size: 17px; font-weight: 650; min-width: 7.5em; }
.elumenta-panel .elumenta-facts span.elumenta-loud { font-weight: 650; }
.elumenta-panel .elumenta-status { min-height: 44px; }
.elumenta-panel .elumenta-status progress { width: 100%; height: 8px; accent-color: var(--jp-brand-color1, auto); display: block; margin-top: 4px; }
.elumenta-panel .elumenta-notice { border: 1px solid var(--jp-border-color1, #999); border-left-width: 5px; border-radius: 4px;
  padding: 6px 10px; background: var(--jp-layout-color1, Canvas); }
.elumenta-panel .elumenta-notice.elumenta-bad { border-left-color: var(--jp-error-color1, #d32f2f); }
.elumenta-panel .elumenta-notice.elumenta-warn { border-left-color: var(--jp-warn-color1, #f57c00); }
.elumenta-panel .elumenta-notice.elumenta-good { border-left-color: var(--jp-success-color1, #388e3c); }
.elumenta-panel .elumenta-notice b { font-weight: 650; }
.elumenta-panel .elumenta-growing { white-space: pre-wrap; border-left: 3px solid var(--jp-brand-color1, #1976d2); padding: 2px 0 2px 12px;
  margin: 6px 0; }
.elumenta-panel .elumenta-gallery { flex-flow: column-reverse nowrap; overflow: hidden; }
.elumenta-panel .elumenta-gallery > * { border-top: 1px solid var(--jp-border-color2, #ccc); padding-top: 6px; margin-top: 6px; }
.elumenta-panel .elumenta-heading { font-weight: 650; }
.elumenta-panel .elumenta-quiet { color: var(--jp-ui-font-color2, GrayText); font-weight: 400; }
.elumenta-panel pre.elumenta-source { margin: 2px 0; padding: 8px 10px; white-space: pre-wrap; overflow-wrap: anywhere; user-select: all;
  font-family: var(--jp-code-font-family, monospace); font-size: 12px; line-height: 1.45; border-radius: 4px;
  border: 1px solid var(--jp-border-color2, #ccc); background: var(--jp-layout-color2, Canvas); color: var(--jp-content-font-color1, inherit); }
.elumenta-panel .jupyter-widget-tab > .lm-TabBar .lm-TabBar-tab { flex: 0 1 auto; min-width: 60px; max-width: 190px; padding: 0 12px; }
.elumenta-panel .jupyter-widget-tab > .widget-tab-contents, .elumenta-panel .widget-tab-contents { padding: 10px 12px; overflow: hidden; }
.elumenta-panel .elumenta-gallery img { max-height: 440px; width: auto; height: auto; }
.elumenta-panel .elumenta-gallery video { max-height: 440px; }
@media (max-width: 640px) {
  .elumenta-panel .widget-inline-hbox, .elumenta-panel .jupyter-widget-inline-hbox { flex-wrap: wrap; height: auto; }
  .elumenta-panel .widget-inline-hbox > .widget-label:not(:empty) { width: 100% !important; text-align: left; }
  .elumenta-panel .widget-inline-hbox > .widget-label + * { flex: 1 1 200px; min-width: 0; }
  .elumenta-panel .widget-dropdown > select { min-height: 28px; }
  .elumenta-panel .elumenta-help { margin-left: 2px; }
}
.elumenta-panel .jp-OutputArea-prompt, .elumenta-panel .jp-OutputPrompt { display: none; }
"""


def style(still: str) -> str:
    """The style sheet of a live panel; it hides the still picture of itself that stands below."""
    waits = _("A cell is running: a click may wait until it has ended.")
    said = f'.elumenta-panel {{ --elumenta-waits: "{waits}"; }}'
    child = f".jp-OutputArea-child:has(.{still})"
    hidden = f".{still}, {child}, {child} + .jp-OutputArea-child {{ display: none !important; }}" if still else ""
    return f"<style>{CSS}{said}{hidden}</style>"


def help_text(text: str) -> str:
    return f'<div class="elumenta-help">{html.escape(text)}</div>'


def facts(price: str, others: Iterable[tuple[str, bool]]) -> str:
    """The price, then what it is weighed against; a fact that is loud matters now."""
    parts = [f'<span class="elumenta-price">{html.escape(price)}</span>']
    parts += [
        f'<span class="{"elumenta-loud" if loud else "elumenta-quiet"}">{html.escape(plain(text))}</span>'
        for text, loud in others
    ]
    return f'<div class="elumenta-facts" role="status">{"".join(parts)}</div>'


def notice(kind: str, title: str, lines: Sequence[str] = ()) -> str:
    """A framed message: ``bad``, ``warn`` or ``good``, which its words say too."""
    role = "alert" if kind == "bad" else "status"
    below = "".join(f"<div>{html.escape(plain(line))}</div>" for line in lines if line)
    return f'<div class="elumenta-notice elumenta-{kind}" role="{role}"><b>{html.escape(plain(title))}</b>{below}</div>'


def explained(error: BaseException) -> tuple[str, ...]:
    """An error for a `notice`: what happened, what it cost, what to do; where a button does it, the button."""
    if not isinstance(error, ElumentaError):
        fault = _("This is a fault of the panel; what was sent is in the tab Unfinished, and in %elumenta jobs.")
        return "bad", f"{type(error).__name__}: {error}", fault
    hints = error.hint.splitlines()[:4]
    if error.spent == "maybe" or isinstance(error, JobTimedOut):
        hints = [_("It is in the tab Unfinished: Recover finds out what became of it, and buys nothing.")]
    return "bad", f"{type(error).__name__}: {error.message}", error.money(), *hints


def progress(line: str, below: str, share: float | None) -> str:
    """A line moved by the clock with its bar; `share` is 0..1, ``None`` where nobody can tell."""
    value = "" if share is None else f' value="{share:.3f}" max="1"'
    bar = f'<progress{value} aria-label="{html.escape(_("progress"))}"></progress>'
    under = f'<div class="elumenta-quiet">{html.escape(plain(below))}</div>' if below else ""
    return f'<div class="elumenta-status">{html.escape(plain(line))}{bar}{under}</div>'


def growing(text: str) -> str:
    """A text that is still being written, letter by letter: a model's words are never markup here."""
    return f'<div class="elumenta-growing">{html.escape(plain(text))}</div>'


def heading(title: str, quiet: str = "") -> str:
    under = f' <span class="elumenta-quiet">{html.escape(plain(quiet))}</span>' if quiet else ""
    return f'<div class="elumenta-heading">{html.escape(plain(title))}{under}</div>'


def source_box(source: str) -> str:
    label = html.escape(_("the same as a cell"))
    return f'<pre class="elumenta-source" tabindex="0" aria-label="{label}">{html.escape(plain(source))}</pre>'
