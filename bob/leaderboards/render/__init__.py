"""Renderers of a board: CSV tables, Markdown, LaTeX, terminal, figures, and sentences."""
