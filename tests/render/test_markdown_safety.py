"""Whatever a model writes, its Markdown renders to nothing that runs, loads or leads anywhere but http(s) and mailto."""

import html.parser
import re
import time

import pytest
from hypothesis import given, settings, strategies as st
from nbconvert.filters.markdown_mistune import markdown2html_mistune

from elumenta_nb._inline import safe_link
from elumenta_nb._markdown import plain, safe_markdown

TAGS = set(
    "p br hr h1 h2 h3 h4 h5 h6 ul ol li blockquote pre code em strong del s a table thead tbody tr th td div span input"
    " dl dt dd".split()
)
ATTRIBUTES = {"href", "class", "id", "style", "type", "disabled", "checked", "start", "align", "title"}
STYLE = re.compile(r"text-align: ?\w+;?|line-height: ?125%;?")


class Auditor(html.parser.HTMLParser):
    """Reads a page as a browser does and notes the first thing that is not plain text formatting."""

    found = ""

    def handle_starttag(self, tag, attributes):
        if tag not in TAGS:
            self.found = f"<{tag}>"
        for name, value in attributes:
            value = value or ""
            if name not in ATTRIBUTES:
                self.found = f"{tag} {name}={value}"
            if name == "href" and not re.match(r"https?://|mailto:|#", value):
                self.found = f"href={value}"
            if name == "style" and not STYLE.fullmatch(value):
                self.found = f"style={value}"
            if name == "class" and re.match("mermaid|jp-Mermaid", value):
                self.found = "mermaid"

    handle_startendtag = handle_starttag

    def handle_comment(self, data):
        self.found = "comment"

    def handle_decl(self, decl):
        self.found = "declaration"

    def handle_pi(self, data):
        self.found = "processing instruction"

    def unknown_decl(self, data):
        self.found = "unknown declaration"


def active(page: str) -> str:
    auditor = Auditor()
    auditor.feed(page)
    auditor.close()
    return auditor.found


def rendered(text: str) -> str:
    return markdown2html_mistune(safe_markdown(text))


HOSTILE = {
    "script": "<script>alert(1)</script>",
    "script in a paragraph": "a <script>alert(1)</script> b",
    "event handler": "<img src=x onerror=alert(1)>",
    "svg": "<svg onload=alert(1)>",
    "iframe": '<iframe src="javascript:alert(1)"></iframe>',
    "style": "<style>@import 'https://evil.example/x.css';</style>",
    "comment": "<!-- <img src=x onerror=alert(1)> -->",
    "open comment": "text <!--",
    "cdata": "<![CDATA[<script>alert(1)</script>]]>",
    "instruction": "<?php alert(1) ?>",
    "declaration": "<!DOCTYPE html><html onload=x>",
    "form": '<form action="https://evil.example"><input name=key><button>ok</button></form>',
    "base": '<base href="https://evil.example/">',
    "meta refresh": '<meta http-equiv="refresh" content="0;url=https://evil.example">',
    "half a tag": "<img src=x onerror=alert(1)",
    "tag over lines": "<img\nsrc=x\nonerror=alert(1)>",
    "details": "<details open ontoggle=alert(1)>",
    "javascript link": "[x](javascript:alert(1))",
    "javascript link, mixed case": "[x](JaVaScRiPt:alert(1))",
    "javascript link, entity": "[x](&#106;avascript:alert(1))",
    "javascript link, named entities": "[x](javascript&colon;alert&lpar;1&rpar;)",
    "javascript link, tab": "[x](<java\tscript:alert(1)>)",
    "javascript link, newline": "[x](java\nscript:alert(1))",
    "javascript link, control character": "[x](\x01javascript:alert(1))",
    "javascript link, leading space": "[x](< javascript:alert(1)>)",
    "javascript link, escaped colon": "[x](javascript\\:alert(1))",
    "javascript link in angle brackets": "[x](<javascript:alert(1)>)",
    "vbscript link": "[x](vbscript:msgbox(1))",
    "data link": "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "file link": "[x](file:///etc/passwd)",
    "relative link": "[x](../api/shutdown)",
    "protocol-relative link": "[x](//evil.example)",
    "javascript autolink": "<javascript:alert(1)>",
    "autolink that is a tag": "<https://x/onclick=alert(1)>",
    "javascript definition": "[x][y]\n\n[y]: javascript:alert(1)",
    "definition with a title": '[y]\n\n[y]: javascript:alert(1) "t"',
    "definition over lines": "[y]\n\n[y]:\n  javascript:alert(1)",
    "remote picture": "![x](https://evil.example/pixel.png)",
    "remote picture by reference": "![x][y]\n\n[y]: https://evil.example/pixel.png",
    "remote picture in a link": "[![x](https://evil.example/a.png)](javascript:alert(1))",
    "javascript picture": "![x](javascript:alert(1))",
    "attachment": "![x](attachment:secret.png)",
    "nested brackets": "[a [b](javascript:alert(1)) c](https://ok.example)",
    "mermaid": "```mermaid\n<img src=x onerror=alert(1)>\n```",
    "mermaid, upper case": "~~~MermaidJS\n<img src=x onerror=alert(1)>\n~~~",
    "unclosed code span": "`<img src=x onerror=alert(1)>",
    "code span over lines": "a ` b\n`<img src=x onerror=alert(1)>`",
    "code span across table cells": "| a | b |\n|---|---|\n| `a | <img src=x onerror=alert(1)>` |",
    "ticks in cells": "| a | b |\n|---|---|\n| `a | b` `<img src=x onerror=alert(1)>` |",
    "code swallowed by a bare link": "https://x.example/`<img src=x onerror=alert(1)>`",
    "code swallowed by a www link": "www.x.example/`<img src=x onerror=alert(1)>`",
    "tilde before code": "a ~`<img src=x onerror=alert(1)>`",
    "dollar before code": "$x$`<img src=x onerror=alert(1)>` $",
    "fence left by its list": "- a\n  ```\n<img src=x onerror=alert(1)>\n  ```",
    "fence that continues a paragraph": "a\n    ```\n    <img src=x onerror=alert(1)>\n\n    ```",
    "fence with ticks in its info": "``` `\n<img src=x onerror=alert(1)>\n```",
    "fence closed early": "```\n````\n<img src=x onerror=alert(1)>\n```",
    "fence in quotes that end": "> ```\n> a\n<img src=x onerror=alert(1)>",
    "fence in a definition list": "term\n: ~~~\n<img src=x onerror=alert(1)>",
    "fence inside a formula": "$$\n```\n$$\n<img src=x onerror=alert(1)>\n```",
    "formula over a fence": "$a\n```\n$ <img src=x onerror=alert(1)>\n```",
    "environment over a fence": "$\\begin{a}$\n\n```\n\\end{a} <img src=x onerror=alert(1)>\n```",
    "environment in a code span": "`\\begin{a}`\n\n```\n\\end{a} <img src=x onerror=alert(1)>\n```",
    "dollars in a code span": "`$$`\n\n```\n$$ <img src=x onerror=alert(1)>\n```",
    "old delimiters over code": "\\\\( ` \\\\) `<img src=x onerror=alert(1)>`",
    "tag in a formula": "$x<img src=x onerror=alert(1)>$",
    "link in a formula": "$[x](javascript:alert(1))$",
    "tag after br in a table": "|a|\n|---|\n|<br><img src=x onerror=alert(1)>|",
    "placeholder of JupyterLab": "@@0@@ $<img src=x onerror=alert(1)>$ @@0@@",
    "line separator": "a\u2028<script>alert(1)</script>",
    "nul": "<scr\x00ipt>alert(1)</script>",
    "setext": "<script>\n===\nalert(1)</script>",
    "heading": "# <img src=x onerror=alert(1)>",
    "html in a link's text": "[<img src=x onerror=alert(1)>](https://ok.example)",
    "code in a link's text": "[`]`](javascript:alert(1)) `<img src=x onerror=alert(1)>`",
    "quote in a url": '[x](https://ok.example/"onmouseover="alert(1))',
    "title": '[x](https://ok.example "\\" onclick=alert(1) ")',
    "userinfo": "[x](https:javascript:alert(1))",
}


@pytest.mark.parametrize("sample", HOSTILE.values(), ids=HOSTILE)
def test_hostile_markdown_renders_to_nothing_active(sample):
    assert active(rendered(sample)) == ""


def test_the_audit_notices_what_these_samples_would_do():
    samples = {name: sample for name, sample in HOSTILE.items() if name != "attachment"}  # that one breaks nbconvert
    noticed = [name for name, sample in samples.items() if active(markdown2html_mistune(sample))]
    assert len(noticed) >= 40


@pytest.mark.parametrize(
    "macro", ["href{javascript:alert(1)}{x}", "unicode{x}", "require{html}", "def\\x{1}", "csname href\\endcsname"]
)
@pytest.mark.parametrize(
    "form", ["${}$", "$$\n{}\n$$", "\\({}\\)", "\\[\n{}\n\\]", "\\\\({}\\\\)", "\\begin{{align}}{}\\end{{align}}"]
)
def test_tex_that_reaches_html_is_never_left_to_mathjax(macro, form):
    written = safe_markdown(form.replace("{}", "\\" + macro).replace("{{", "{").replace("}}", "}"))
    assert "$" not in written.replace("<span>&#36;</span>", "")
    assert "\\" not in written


@given(st.lists(st.sampled_from([
    "\n", "\n\n", "\n   ", "\n    ", " ", "`", "``", "```", "```\n", "````", "~~~\n", "```mermaid\n", "<img src=x onerror=alert(1)>",
    "<!--", "-->", "<https://a.b/onclick=alert(1)>", "[", "](javascript:alert(1))", "](https://x.y)", "![a](https://e/v.png)",
    "\n[x]: javascript:alert(1)", "\n[x]: https://ok.example\n", "[x]", "$", "$$", "\\(", "\\)", "\\[", "\\]", "\\\\[", "\\\\(", "\\begin{a}",
    "\\end{a}", "{", "}", "\\", "\\`", "|", "\n|---|---|\n", "\n- ", "\n1. ", "\n> ", "a", "# ", "*", "**", "_", "&lt;", "~", "@@0@@",
    "https://x.y/", "\n: ", "\n   ```", "- ```\n", "\n$$\n", "\n\\[\n", "`<img src=x onerror=1>`", "\n```\n<img src=x onerror=1>\n```\n",
]), min_size=1, max_size=24).map("".join))  # fmt: skip
@settings(max_examples=250, deadline=None)
def test_no_combination_of_fragments_renders_to_anything_active(text):
    assert active(rendered(text)) == ""


@given(st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_text_at_all_renders_to_nothing_active(text):
    assert active(rendered(text)) == ""


LOOKS = {
    "**bold** and *italic* and ~~old~~": ["<strong>bold</strong>", "<em>italic</em>", "<del>old</del>"],
    "Use the `<div>` tag": ["<code>&lt;div&gt;</code>"],
    "```python\nif a < b:\n    print('<x>')\n```": ["&lt;x&gt;", "<pre>"],
    "1. Do:\n   ```bash\n   ls\n   ```\n2. Then": ["<ol>", "<li>", "<pre>"],
    "| a | b |\n|---|---|\n| 1 | `x` |": ["<table>", "<td>1</td>", "<code>x</code>"],
    "|a|\n|---|\n|x<br>y|": ["x<br>y"],
    "see [the docs](https://ok.example/a_b?x=1&y=2)": ['<a href="https://ok.example/a_b?x=1&amp;y=2">the docs</a>'],
    "see [the docs][1]\n\n[1]: https://ok.example": ['<a href="https://ok.example">the docs</a>'],
    "see <https://ok.example/a_b>": ['href="https://ok.example/a_b"'],
    "write to <me@ok.example>": ['href="mailto:me@ok.example"'],
    "![a cat](https://ok.example/c.png)": ['<a href="https://ok.example/c.png">image: a cat</a>'],
    "[по-русски](https://ok.example/кот)": ['href="https://ok.example/%D0%BA%D0%BE%D1%82"', "по-русски"],
    "a < b and x<y": ["a &lt; b", "x&lt;y"],
    "# Title\n\ntext": ["<h1", "Title"],
    "> quoted\n> ```\n> code\n> ```": ["<blockquote>", "<pre>"],
    "- [x] done\n- [ ] open": ['type="checkbox"'],
    "- a\n    - b": ["<ul>\n<li>a<ul>\n<li>b"],
    "inline $x^2 < y$ here": ["$x^2 &lt; y$"],
    "\\(x^2\\)": ["$x^2$"],
    "\\[\nx_1 + \\frac{a}{b}\n\\]": ["$$\nx_1 + \\frac{a}{b}\n$$"],
    "    indented <b>": ["<pre>", "indented &lt;b&gt;"],
    "C:\\Users\\me and \\*not bold\\*": ["Users", "*not bold*"],
    "a\\\nb": ["<br"],
}


@pytest.mark.parametrize("sample", LOOKS)
def test_ordinary_markdown_keeps_its_look(sample):
    page = rendered(sample)
    assert [wanted for wanted in LOOKS[sample] if wanted not in page] == []


def test_prices_in_dollars_are_not_taken_for_a_formula():
    page = rendered("it costs $5 and not $10")
    assert "$" not in page.replace("<span>&#36;</span>", "").replace("<span>$</span>", "")


def test_code_is_kept_to_the_letter_even_with_fences_inside():
    code = "```\n~~~\n<b>`x`</b>\n````"
    assert code in safe_markdown(f"~~~~markdown\n{code}\n~~~~")


@pytest.mark.parametrize(
    "url",
    [
        "javascript:x",
        "data:x",
        "//x",
        "x",
        "",
        "https://",
        "http:x",
        "https://a b",
        "mailto:",
        "ftp://x",
        "https://\x00",
    ],
)
def test_only_web_and_mail_addresses_become_links(url):
    assert safe_link(url) is None


def test_control_characters_do_not_reach_a_terminal():
    assert plain("\x1b]0;owned\x07a\r\nb\rc\x9bd\td") == "]0;owneda\nb\ncd\td"


@pytest.mark.parametrize(
    "text",
    ["[" * 50_000, "`a" * 50_000, "[a](" * 20_000, "[a](" + "(" * 50_000, "$a" * 50_000, "\\(" * 50_000, "> " * 50_000,
     "$$\nx\n" * 10_000, "1. " * 50_000, "<https://" * 10_000, "```\n" * 20_000, "    x\n\n" * 20_000, "https://`a`" * 10_000],
    ids=lambda text: text[:8],
)  # fmt: skip
def test_long_hostile_text_is_written_in_a_moment(text):
    began = time.thread_time()
    safe_markdown(text)
    assert time.thread_time() - began < 3
