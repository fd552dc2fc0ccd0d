"""Wiring: settings, the composition root, the command line and the embedded services."""
