"""Texts: facts about what was asked, as prose, JSON or code. No sentence here pretends that a model wrote it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from elumenta_nb._language import gettext as _, ngettext, number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["answer", "long_answer", "ocr", "pieces", "transcript"]

_JSON = re.compile(r"\bjson\b", re.IGNORECASE)
_LIST = re.compile(r"\b(?:json (?:array|list)|array of|list of objects)\b", re.IGNORECASE)
_CODE = re.compile(
    r"\b(?:python|code only|only code|only the code|write (?:a )?(?:code|function|script)|код|функци\w+)\b",
    re.IGNORECASE,
)
_BARE = re.compile(
    r"only (?:the )?(?:python )?code|code only|nothing (?:else|but)|no (?:prose|explanation)|без пояснений",
    re.IGNORECASE,
)
_KEYS = re.compile(r"[\"'`]([A-Za-z_]\w{0,40})[\"'`]\s*:")
_NAMED = re.compile(r"\b(?:keys?|fields?|поля|ключи)\b[:\s]+([\w\s,`'\"]+)", re.IGNORECASE)


def answer(
    prompt: str,
    model: str,
    *,
    system: str = "",
    earlier: Sequence[Mapping[str, Any]] = (),
    max_tokens: int | None = None,
) -> str:
    """The sandbox's answer: what it was asked, counted and quoted."""
    asked = f"{system}\n{prompt}"
    facts = _facts(prompt, earlier)
    if _JSON.search(asked):
        text = _as_json(asked, model, facts)
    elif _CODE.search(asked):
        text = _as_code(asked, model, facts)
    else:
        text = _as_prose(model, facts, system)
    return text if max_tokens is None else _shortened(text, max_tokens)


def _facts(prompt: str, earlier: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    words = prompt.split()
    letters = [letter for letter in prompt if letter.isalpha()]
    cyrillic = sum("а" <= letter.lower() <= "я" or letter.lower() == "ё" for letter in letters)
    return {
        "characters": len(prompt),
        "words": len(words),
        "lines": len(prompt.splitlines()) or 1,
        "questions": prompt.count("?"),
        "script": "none" if not letters else "Cyrillic" if cyrillic * 2 > len(letters) else "Latin",
        "begins": " ".join(words[:12]),
        "longest_word": max((word.strip(".,;:!?()\"'«»") for word in words), key=len, default=""),
        "earlier_messages": len(earlier),
    }


def _as_prose(model: str, facts: Mapping[str, Any], system: str) -> str:
    more = " …" if facts["words"] > 12 else ""
    lines = [
        _("**SANDBOX** — this answer was made by the sandbox, not by {model}.").format(model=model),
        "",
        _("Your prompt begins “{begins}”. It has {words} and {characters}.").format(
            begins=facts["begins"] + more,
            words=ngettext("{n} word", "{n} words", facts["words"]),
            characters=ngettext("{n} character", "{n} characters", facts["characters"]),
        ),
        "",
    ]
    if facts["longest_word"]:
        lines.append(_("- Its longest word is “{word}”.").format(word=facts["longest_word"]))
    lines.append(_("- Questions in it: {n}.").format(n=number(facts["questions"])))
    if facts["earlier_messages"]:
        lines.append(_("- Earlier messages that came with it: {n}.").format(n=number(facts["earlier_messages"])))
    if system:
        lines.append(_("- It came with a system prompt of {n} characters.").format(n=number(len(system))))
    lines += ["", _("A real model answers here once you use your own key; the price and the receipt are the same.")]
    return "\n".join(lines)


def _as_json(asked: str, model: str, facts: Mapping[str, Any]) -> str:
    keys = list(dict.fromkeys(_KEYS.findall(asked)))
    if not keys and (named := _NAMED.search(asked)):
        keys = [key for key in re.findall(r"[A-Za-z_]\w*", named[1].split("\n")[0]) if key not in ("and", "with")][:20]
    said = f"made by the sandbox, not by {model}"
    thing: Any = {key: f"SANDBOX {key}" for key in keys} if keys else dict(facts)
    thing = {**thing, "sandbox": said}
    return json.dumps([thing] if _LIST.search(asked) else thing, ensure_ascii=False, indent=2)


def _as_code(asked: str, model: str, facts: Mapping[str, Any]) -> str:
    code = "\n".join(
        [
            "```python",
            f"# SANDBOX: made by the sandbox, not by {model}",
            f"facts = {dict(facts)!r}",
            "",
            "for name, value in facts.items():",
            '    print(f"{name}: {value}")',
            "```",
        ]
    )
    if _BARE.search(asked):
        return code
    return _("**SANDBOX** — facts about your prompt, as code:") + "\n\n" + code


def _shortened(text: str, max_tokens: int) -> str:
    """About `max_tokens` LLM tokens of it, a token taken as a word or four characters."""
    return text[: max(max_tokens, 1) * 4].rstrip() if len(text) > max_tokens * 4 else text


def long_answer(model: str, words: int) -> str:
    """An answer of so many words, in lines of twelve."""
    said = f"SANDBOX: made by the sandbox, not by {model}.".split()
    said += [f"word{i}" for i in range(len(said), words)]
    said = said[: max(words, 1)]
    return "\n".join(" ".join(said[i : i + 12]) for i in range(0, len(said), 12))


def pieces(text: str) -> list[str]:
    """The text as a model streams it: words, each with the space before it."""
    return re.findall(r"\s*\S+|\s+\Z", text)


def transcript(data: bytes, name: str, model: str, facts: Mapping[str, Any], *, language: str, diarize: bool) -> str:
    """Facts about an uploaded recording; the words of one that the sandbox spoke itself."""
    said = [_("SANDBOX: made by the sandbox, not by {model}; it cannot hear.").format(model=model)]
    if not facts:
        said.append(_("{name} has {n} bytes and no sound the sandbox can read.").format(name=name, n=number(len(data))))
    else:
        said.append(
            _("{name}: {seconds} s of {codec}, {rate} Hz, {n} bytes.").format(
                name=name,
                seconds=number(float(facts["duration_s"])),
                codec=facts["codec"],
                rate=number(int(facts["rate"])),
                n=number(len(data)),
            )
        )
    if language:
        said.append(_("Language asked for: {language}.").format(language=language))
    if str(facts.get("title", "")).startswith("SANDBOX") and facts.get("comment"):
        said.append(_("The sandbox spoke this file itself, from the text: {text}").format(text=facts["comment"]))
    if not diarize:
        return " ".join(said)
    return " ".join(f"[Speaker {i % 2 + 1}]: {line}" for i, line in enumerate(said))


def ocr(model: str, size: tuple[int, int], source_prompt: str | None) -> str:
    """Facts about a picture; the words on one that the sandbox drew itself."""
    said = [
        _("SANDBOX: made by the sandbox, not by {model}; it cannot read.").format(model=model),
        _("The picture is {width} by {height} pixels.").format(width=size[0], height=size[1]),
    ]
    if source_prompt:
        said.append(_("The sandbox drew it itself, with the words: {text}").format(text=source_prompt[:300]))
    return "\n".join(said)
