"""Timing: runs in turns, their ratios, and the checks that what is timed is right."""
