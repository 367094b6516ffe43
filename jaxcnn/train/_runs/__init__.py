"""The folder of a run: its settings, its code, its records, and the lock that holds it."""
