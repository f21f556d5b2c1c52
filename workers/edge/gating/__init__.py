"""The gate: what each step of the definition of done is shown by."""
