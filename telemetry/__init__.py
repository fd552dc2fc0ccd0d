"""Every metric and the log format, declared in one place."""
