"""What the numbers are, measured: `python -m benchmarks.run`. Not part of the package."""
