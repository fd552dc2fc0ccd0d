"""The engines of the standard job; each module says what its engine guarantees."""
