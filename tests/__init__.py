"""The tests: one folder for each room, and `support` for what more than one folder needs."""
