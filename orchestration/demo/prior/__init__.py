"""The prior that ships: a small frame codec and a text-to-video network, trained on clips made here."""
