"""Public data turned into contract events."""
