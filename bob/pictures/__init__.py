"""Picture sheets: which examples to look at, and how they are laid out. No records, no torch."""
