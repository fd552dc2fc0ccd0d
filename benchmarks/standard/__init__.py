"""The standard job: one and the same piece of work in our worker and in what one could take instead."""
