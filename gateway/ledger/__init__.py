"""The account of what was disclosed.

In: one `Disclosure` for each request above the public view, from the engine, before a byte of its answer leaves. Out:
a durable row of ledger.disclosure, or LedgerUnavailable and no answer.
"""
