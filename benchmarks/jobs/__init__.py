"""Jobs of the workflow: configs, what one process is asked to time, failures, progress."""
