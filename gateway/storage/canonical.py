"""Canonical JSON (RFC 8785) of what the account commits to: one text for one value, whoever writes it.

In: texts, whole numbers, nulls, arrays, and objects whose names are ASCII. Out: their text. Of receipts, which have
whatever variables have, gateway/ledger/receipt.py makes it by a library.
"""

from __future__ import annotations

import json

canonical_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode
