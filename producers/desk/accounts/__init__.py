"""The users of the desk: sign-in, sessions, passwords, the second factor, and who may do what."""
