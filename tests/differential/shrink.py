"""What makes an operation smaller. In: an operation. Out: the same with one thing less, for each thing."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

from tests.differential.operation import Node, Operation, Variable


def smaller_ones(operation: Operation) -> Iterator[Operation]:
    """The operation with one thing less, for each thing."""

    def sets(one: Operation) -> list[list[Node]]:
        made = [one.selections, *(selections for _, selections in one.fragments.values())]
        for selections in list(made):
            todo = list(selections)
            while todo:
                node = todo.pop()
                if node.children:
                    made.append(node.children)
                    todo += node.children
        return made

    for at, selections in enumerate(sets(operation)):
        for index, node in enumerate(selections):
            if len(selections) > 1:
                made = deepcopy(operation)
                del sets(made)[at][index]
                yield made
            if node.type is not None and node.children:
                made = deepcopy(operation)
                own = sets(made)[at]
                own[index : index + 1] = own[index].children or []
                yield made
            for name in node.arguments:
                made = deepcopy(operation)
                del sets(made)[at][index].arguments[name]
                yield made
                if isinstance(node.arguments[name], Variable) and node.arguments[name].value is not ...:
                    made = deepcopy(operation)
                    sets(made)[at][index].arguments[name] = node.arguments[name].value
                    yield made
                elif isinstance(node.arguments[name], dict):
                    for inner in node.arguments[name]:
                        made = deepcopy(operation)
                        del sets(made)[at][index].arguments[name][inner]
                        yield made
            if node.directives:
                made = deepcopy(operation)
                sets(made)[at][index].directives = []
                yield made
            if node.alias:
                made = deepcopy(operation)
                sets(made)[at][index].alias = ""
                yield made
