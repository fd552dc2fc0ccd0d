"""What every claimed figure comes from; `python -m benchmarks --help` says what there is."""
