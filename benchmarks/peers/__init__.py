"""Other GraphQL servers over the same database: `python -m benchmarks.peers`. What npm brings goes to build/peers."""
