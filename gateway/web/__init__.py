"""HTTP: what arrives. Routes and ASGI callables; what they mean is decided in the packages below.

In: requests. Out: responses. Made by app.py, called by the server.
"""
