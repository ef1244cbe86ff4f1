"""The `fastism` command: thin layers over the library, one file per command.

Requirements: typer, rich. No framework is imported before a command needs it.
"""
