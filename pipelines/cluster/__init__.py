"""Work on Ray: a cluster or this machine, and actors that share out tasks."""
