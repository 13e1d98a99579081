"""Networks that say where a thing or its joints are."""
