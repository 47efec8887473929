"""From a recipe to bytes that two builds agree on, and a statement of what went in."""
