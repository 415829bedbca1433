"""Synthetic music for the demonstration, benchmarks and tests: each seed gives another piece.

A piece is composed (`score`), played (`band`) on synthesised sounds (`instruments`) and mixed (`composer`).
"""
