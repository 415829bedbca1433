"""The demonstration (`earprint demo`): add music, distort excerpts of it, identify them, and count."""
