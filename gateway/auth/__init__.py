"""Who asks, and what for: keys, clients, purposes, access tokens, proofs, and the embedded authorization server.

In: the headers Authorization, DPoP, Client-Cert and Credit-Purpose of a request, or a token request. Out: a
`Principal`, which every layer above reads, or a ClientError. web/ and cli/ call it; it imports storage, settings and
errors alone.
"""
