"""The folder that `provgraph exec` puts on PYTHONPATH: it holds `sitecustomize` and nothing else."""
