"""`make soak`: the real fleet against the loopback venue, for an hour or a day of its windows."""
