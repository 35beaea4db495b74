"""Who asks, and what for: keys, clients, purposes, access tokens, and the embedded authorization server.

In: the Authorization and Credit-Purpose headers of a request, or a request to the token endpoint. Out: a `Principal`,
which every layer above reads, or a ClientError. web/ and cli/ call it; it imports storage, settings and errors alone.
"""
