"""The demo: believable people, three sellers, every way in, and the real parts."""
