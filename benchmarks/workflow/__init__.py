"""What the Snakemake workflow calls around its jobs.

Configs are read and turned into jobs, and jobs that failed or were not run get records that say so.
"""
