"""Does the network compute the published numbers? ``python -m tests.parity CASE.json [...]``.

A case is an architecture, drawn weights under public key names, and the published method's outputs
(tests/golden/README.md). One JSON line is printed for every output.
"""
