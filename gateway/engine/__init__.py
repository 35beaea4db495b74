"""The one engine: GraphQL in, one SQL statement, bytes out.

In: a contract schema whose fields carry bindings (where a value lives), a document, variables, a principal. Out: the
bytes of the response, after its disclosure is durable. Pools, ledger and sources are handed in by app.py; the modules
in the order of the way: document → variables → planner (plan) → sql → execute → response.
"""
