"""Scripts that people and make run: demo data, the demo, measurements under faults."""
