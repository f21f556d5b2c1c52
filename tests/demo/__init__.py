"""`make demo`: the real fleet against the bundled venue, broken on purpose, and the proof."""
