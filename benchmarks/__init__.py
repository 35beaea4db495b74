"""Measurements: the gateway against a hand-written handler over the same rows, in one interleaved run.

In: `python -m benchmarks --only W1,W3`. Out: a table, and results/latest.json. Called by `make bench`; nothing of the
product imports from here.
"""
