"""The rehearsal of docs/VPS_DEPLOYMENT.md in a machine with a systemd of its own."""
