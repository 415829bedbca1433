"""Worker processes, available cores, and threads of matrix products."""
