"""Speed and size, against MLflow in the same run: `make bench` writes docs/benchmarks.md."""
