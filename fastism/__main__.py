"""`python -m fastism`: the same as the `fastism` command.

Requirements: those of `fastism.cli`.
"""

from fastism.cli.start import main

if __name__ == "__main__":
    main()
