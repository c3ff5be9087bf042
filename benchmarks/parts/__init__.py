"""What several benchmarks measure with: models, files, workloads, and their peers."""
