"""From what a user names, a file or a function, to a model in memory."""
