"""A cell for each place where a server's own words are shown, run in a kernel: tables, cards, errors, panels, dashboards."""

CELLS = [
    "%load_ext elumenta_nb\nimport elumenta_nb as el, time",
    "%elumenta",
    "%elumenta balance",
    "%elumenta models",
    "el.session().served_models()\nel.models()",
    "%elumenta account-history",
    "%elumenta doctor",
    "%elumenta plans 500",
    "display(el.balance(), el.me(), el.stats(), el.quote('gpt-5'), el.account_history())",
    "%%elumenta text gpt-5\na plain question",
    "%%elumenta text gpt-5 --no-stream --as text\nanother",
    "%%elumenta text gpt-5 --no-stream --as json\nnot json",
    "%%elumenta text gpt-5 --no-stream --as code\nsome code",
    "%%elumenta text gpt-5\nrefuse",
    "%%elumenta text gpt-5\nfail",
    "%%elumenta text gpt-5\ngateway",
    "%%elumenta image dall-e-3\nan svg",
    "%%elumenta image dall-e-3\na page",
    "%%elumenta image dall-e-3\na bad address",
    "%%elumenta gpt-5 --nosuch 1\nx",
    "el.reconcile(elsewhere=True)",
    "el.spend(columns='all')",
    "display(el.spend(by='model'), el.jobs(), el.budgets())",
    (
        "import pandas as pd\nframe = pd.DataFrame({'what': ['a plain question', 'refuse', 'fail', '<img src=x onerror=alert(1999)>']})\n"
        "display(el.map(frame, '{{ what }}', model='gpt-5', dry_run=True), el.map(frame, '{{ what }}', model='gpt-5', budget=50), el.last_map)"
    ),
    (
        "rows = el.map(pd.DataFrame({'what': ['an svg', 'a page']}), '{{ what }}', model='dall-e-3', budget=50)\n"
        "display(rows, rows.elumenta.results(), rows.elumenta.gallery())"
    ),
    "import asyncio\npanel = el.panel('text')\ndisplay(panel)\nawait asyncio.sleep(1)",
    """
for prompt in ("a plain question", "refuse"):
    panel.form.prompt.value = prompt
    await asyncio.sleep(0.8)
    panel.generate.click()
    await asyncio.sleep(2)
print(len(panel.results))
""",
    "display(el.jobs_panel())",
    "display(el.dashboard())",
    "%elumenta recover",
]


def hostile_word(n: int) -> str:
    """Something a server may call anything: each would ring with its own number."""
    kinds = (
        f'"><img src=x onerror=alert({n})>',
        f"</script><script>alert({n})</script>",
        f"[x](javascript:alert({n}))<svg onload=alert({n})>",
        f"'-alert({n})-'<details open ontoggle=alert({n})>",
        f"</style></textarea></title><iframe srcdoc='<script>parent.alert({n})</script>'></iframe>",
        f"![x](https://evil.example/{n}/p.png)`<img src=x onerror=alert({n})>`",
        f"{{{{ x }}}}${{alert({n})}}<img src=https://evil.example/{n}/q.png>",
    )
    return kinds[n % len(kinds)]


class HostileApi:
    """Answers as the documentation says, with a sample for every word of its own."""

    def __init__(self) -> None:
        self.said = 1000

    def word(self) -> str:
        self.said += 1
        return hostile_word(self.said)

    def __call__(self, heard):
        from strange_api import DONE, Told

        word = self.word
        asked = heard.body.decode("utf-8", "replace")
        match heard.method, heard.path:
            case "POST", path if path.endswith("/calculate-price"):
                return Told({"token_cost": 2, "pricing_type": word(), "currency": word(), "model": word()})
            case "POST", _ if "refuse" in asked:
                return Told({"error": word(), "code": word(), "message": word(), "details": {word(): word()}}, 400)
            case "POST", _ if "gateway" in asked:
                return Told(f"<html><body>{word()}</body></html>".encode(), 400, {"content-type": "text/html"})
            case "POST", _ if "fail" in asked:
                return Told(
                    {"id": word(), "status": "failed", "error": word(), "error_message": word(), "model": word()}
                )
            case "POST", _ if "bad address" in asked:
                return Told(
                    {**DONE, "result_text": None, "result_url": f"http://127.0.0.1:1/{word()}", "error": word()}
                )
            case "POST", _ if "an svg" in asked or "a page" in asked:
                name = "svg" if "an svg" in asked else "page"
                url = f"http://{heard.header('host')}/media/{name}.png?{'x' * 9}"
                facts = {"mime": word(), "filename": f"../../{word()}", "alt": word(), "width": word()}
                return Told({**DONE, "result_text": None, "result_url": url, "result_metadata": facts, "model": word()})
            case "GET", path if path.startswith("/media/"):
                body = f"<svg xmlns='http://www.w3.org/2000/svg' onload='alert({self.said})'/>"
                if "page" in path:
                    body = f"<!doctype html><script>alert({self.said})</script>"
                return Told(body.encode(), headers={"content-type": "image/png"})
            case "POST", "/generate" | "/generate/stream":
                return Told({
                    **DONE, "result_text": f"{word()}\n\n{word()}\n\n```html\n{word()}\n```", "model_slug": word(), "provider": word(),
                    "usage": {word(): 5}, "created_at": word(), "result_metadata": {word(): word()}, "category": word(),
                })  # fmt: skip
            case "GET", "/balance":
                return Told({"token_balance": 900, "plan": word(), "plan_expires_at": word()})
            case "GET", "/user/me":
                return Told({"id": word(), "name": word(), "username": word(), "plan": word(), "token_balance": 900})
            case "GET", "/user/stats":
                return Told({"tokens_spent_total": 9, "breakdown": {word(): {"count": 1, "tokens": 2}}})
            case "GET", "/models":
                item = {"slug": "nova-9", "name": word(), "category": "text", "provider": word(), "description": word()}
                other = {**item, "slug": word(), "min_plan": word(), "config": {"sizes": [word()]}, "tier": word()}
                return Told({"items": [{**item, "min_token_cost": 1, "max_token_cost": 2}, other], "total": 2})
            case "GET", "/user/history":
                item = {
                    **DONE,
                    "prompt": word(),
                    "model_slug": word(),
                    "category": word(),
                    "error": word(),
                    "result_text": word(),
                }
                return Told(
                    {
                        "items": [{**item, "id": 900 + n, "created_at": "2026-11-20T10:00:00Z"} for n in range(2)],
                        "total": 2,
                    }
                )
        return None
