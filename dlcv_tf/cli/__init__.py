"""The command line: `dlcv VERB TARGET [key=value ...] [--json]`, one module per verb."""
