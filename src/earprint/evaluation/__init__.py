"""Evaluation: cut queries from references, distort them, identify them, count."""
