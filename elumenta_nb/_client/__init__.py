"""The client: the API over HTTP, with the answer to "was it charged?" on every error.

`_policy` is the rule (pure), `_exchange` one request on the wire, `_answer` reads what a paid one brings, `_api` the
methods, `_download` the files, `_routes` proxies, certificates and connections. httpx is imported here only.
"""

from __future__ import annotations

from ._answer import Watch
from ._api import Client
from ._probe import Probe, probe, proxy_shown
from ._routes import Route, TransportFactory, http_transport

__all__ = ["Client", "Probe", "Route", "TransportFactory", "Watch", "http_transport", "probe", "proxy_shown"]
