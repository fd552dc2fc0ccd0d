"""The one pure function in the middle: states and events in, new states and decisions out."""
