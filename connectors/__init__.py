"""HTTP connectors to upstream systems.

In: subjects (USCC), a purpose and a deadline. Out: for each subject an `Answer` (normalised rows and the time they
were asked for) or a typed `Failure`; never an exception for what an upstream does, never an empty list for a failure.
Called by gateway.sources alone; imports nothing from gateway.
"""
