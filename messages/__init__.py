"""Contracts of every topic: what upstream systems may send and what Duewatch answers."""
