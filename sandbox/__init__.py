"""The upstream systems as small servers with faults on request, for tests, the demo and trying things out.

Written from the wire contracts alone; imports nothing from connectors or gateway.
"""
