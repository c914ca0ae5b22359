"""Does the network compute the published numbers? ``python -m tests.parity CASE.json [...]``.

A case is an architecture, drawn weights under public key names, and what the published method makes of them
(tests/golden/README.md). One JSON line is printed for every output.
"""
