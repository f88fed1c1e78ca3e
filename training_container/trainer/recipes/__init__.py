"""One module per training method. Each has `run(config, folders, budget, interruption)`, which reads top to bottom."""
