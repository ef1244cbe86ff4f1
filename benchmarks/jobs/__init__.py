"""Jobs: what one process is asked to measure, and what it keeps and shows while it does."""
