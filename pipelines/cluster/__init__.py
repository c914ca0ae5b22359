"""Work on Ray: a cluster or this machine, tasks for work without state, actors for work that loads models."""
