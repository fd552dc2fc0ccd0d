"""What is known of a user: the state record, the compiled kernels that advance and read it, and the catalogue."""
