"""Networks that say where things are, as boxes and masks."""
