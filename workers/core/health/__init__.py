"""How the fleet is: conditions, alerts, heartbeats, disk and clock, and how they are told."""
