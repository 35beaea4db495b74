"""What is shared with other platforms: now, the changes that the regional platform tells of.

In: the feed of a connector. Out: records in storage, by gateway.storage.feed. Wired by app alone.
"""

from gateway.sharing.changes import ChangesSource, ChangesWorker, Followed

__all__ = ["ChangesSource", "ChangesWorker", "Followed"]
