"""The report of a bench: numbers, tables, plots, and the paper's figures beside them."""

__all__: list[str] = []
