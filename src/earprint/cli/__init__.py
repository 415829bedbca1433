"""The command line: options, text and output. The other packages do the work."""
