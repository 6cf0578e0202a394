"""The graph of runs: what is stale and why, snakemake and its jobs, one notebook at a time."""
