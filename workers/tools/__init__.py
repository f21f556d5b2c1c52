"""The `orderbooks` command: one module for each verb, with `add_arguments` and `run`."""
