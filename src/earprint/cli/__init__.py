"""The command line: what the terminal says and reads. The work is done elsewhere."""
