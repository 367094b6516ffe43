"""What a run shows while it trains: progress and warnings."""
