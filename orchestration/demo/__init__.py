"""The demo: the whole road from footage to an animated image, on any machine."""
