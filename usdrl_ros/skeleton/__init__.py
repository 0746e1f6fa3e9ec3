"""Skeletons: joint layouts, time windows, normalisation, and reading them from messages."""
