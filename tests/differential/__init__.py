"""The engine against a slow, obvious executor, on generated operations: the same data, errors and refusals.

In: a seed. Out: nothing, or every difference with what makes it again. `world.py` is the database, `visible.py` and
`reference.py` say by DESIGN.md what must be answered out of plain rows, `refusals.py` what must be refused;
`operations.py` generates, `runner.py` compares and shrinks. They share no code with gateway/engine.
"""
