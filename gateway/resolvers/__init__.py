"""Which rows a field means.

In: the arguments of a field, as the plan sees them. Out: frozen Rows (a relation of the catalogue with conditions); how
they are fetched is the engine's. Called by the planner through the bindings that schema/ sets.
"""
