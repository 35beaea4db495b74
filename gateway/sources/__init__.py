"""Asking sources: freshness, coalescing, circuit breakers, limits and kept answers, one mechanism for every source.

In: which parts of which sources are wanted about which subjects, by whom, until when (`Sources.consult`, called by the
engine between keys and body statement). Out: the answers as jsonb text for the body statement, and what the disclosure
says of them. A new source is a `SourcePolicy` and a connector; nothing else here knows one source from another.
"""
