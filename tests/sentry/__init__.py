"""Every alert of the catalogue against a real Sentry-compatible server: python -m tests.sentry."""
