"""How long it held: samples of a fleet, their verdict by written rules, and the gate."""
