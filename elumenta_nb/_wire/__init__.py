"""The wire contract, pure: tolerant readers of both reply families, request builders, stream events.

No reader raises: the first alias that fits wins, and a field that does not fit falls back alone, so that an odd
`result_metadata` never costs the id and the charge of a paid call. Rows in brackets are those of api.md section 13.
"""

from __future__ import annotations

from ._account import read_balance, read_history, read_limits, read_models, read_profile, read_quote, read_stats
from ._events import Delta, Ended, EventStream, Failed, Finished, Lost, Started, StreamEvent
from ._json import Parsed, clean_text, read_json
from ._replies import read_reply, understood
from ._requests import (
    Request,
    RequestForm,
    Upload,
    balance_paths,
    creations,
    price,
    prompt_fields,
    status_paths,
    step,
)
from ._said import ServerSaid, http_date, read_error

__all__ = [
    "Delta",
    "Ended",
    "EventStream",
    "Failed",
    "Finished",
    "Lost",
    "Parsed",
    "Request",
    "RequestForm",
    "ServerSaid",
    "Started",
    "StreamEvent",
    "Upload",
    "balance_paths",
    "clean_text",
    "creations",
    "http_date",
    "price",
    "prompt_fields",
    "read_balance",
    "read_error",
    "read_history",
    "read_json",
    "read_limits",
    "read_models",
    "read_profile",
    "read_quote",
    "read_reply",
    "read_stats",
    "status_paths",
    "step",
    "understood",
]
