"""Use cases: options in, a resolved request, a result object out; nothing is printed."""
