"""Default probability and spending anomaly: the scorecard, the learned model and how both are judged."""
