"""The service: an HTTP API over a queue of jobs, replicas that run them, and the exchange of their models.

Rooms, from the innermost: :mod:`schema` and :mod:`settings`; :mod:`jobs` and :mod:`results`; :mod:`access`,
:mod:`intake`, :mod:`api`, :mod:`engine` and :mod:`exchange`; :mod:`deployment`, which runs them on Ray Serve.
"""
