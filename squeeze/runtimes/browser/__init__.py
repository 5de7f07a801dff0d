"""A real browser without a window: pages of this machine alone, started and ended for one piece of work."""
