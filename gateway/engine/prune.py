"""A plan cut down to what leads to the sections of one feed.

In: the fields of a plan. Out: the same fields without anything that is not on the way. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.engine import plan as p


def towards(fields: tuple[p.Field, ...], feed: str) -> tuple[p.Field, ...]:
    """What of a plan leads to sections of `feed`, and nothing else: no value is read on the way."""
    found: list[p.Field] = []
    for field in fields:
        if isinstance(field, p.Section):
            if field.feed == feed:
                found.append(replace(field, fields=()))
        elif any(isinstance(w, p.Section) and w.feed == feed for w in p.walk((field,))):
            found.append(_narrowed(field, feed))
    return tuple(found)


def _narrowed(field: p.Field, feed: str) -> p.Field:
    match field:
        case p.Same(body=body) | p.Whole(body=body) | p.One(body=body) | p.Many(body=body):
            return replace(field, body=_body(body, feed))
        case p.OneOf(alternatives=alternatives):
            return replace(field, alternatives=tuple(f for f in towards(alternatives, feed) if isinstance(f, p.One)))
        case p.Connection(items=items):
            edges = tuple(
                replace(
                    edge,
                    items=tuple(
                        replace(node, body=_body(node.body, feed))
                        for node in edge.items
                        if isinstance(node, p.EdgeNode)
                    ),
                )
                for edge in items
                if isinstance(edge, p.Edges)
            )
            return replace(field, items=edges)
        case _:
            raise TypeError(type(field).__name__)


def _body(body: p.Body, feed: str) -> p.Body:
    return replace(body, variants=tuple(replace(v, fields=towards(v.fields, feed)) for v in body.variants))
