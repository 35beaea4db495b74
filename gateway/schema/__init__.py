"""What may be asked: the types by area, each field with its view level and where its value lives, and the contracts.

In: nothing but resolvers' functions. Out: one annotated schema, filtered into PUBLIC ⊂ RESTRICTED ⊂ INTERNAL and SELF.
Strawberry defines; it never executes. Called by app.py and by `credit-gateway schema`.
"""
