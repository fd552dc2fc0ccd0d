"""The pure core over files: replay, scores and reports, without Kafka and Redis."""
