"""The risk team's rules: triggers, grades, limits, collections and guard rails, read from one YAML file."""
