"""The benchmark of the fastISM suite: what is timed, how, and the records of it.

Imports the library; nothing of the library imports this. Not part of the installed package.
"""
