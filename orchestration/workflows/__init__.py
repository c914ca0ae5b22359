"""One module a use case: typed options → a resolved request, where there is one → a result.

Nothing here prints or knows of a terminal: progress goes to callbacks, warnings to callbacks or into the
result. The command line and the demo call these, and so can any Python code.
"""
