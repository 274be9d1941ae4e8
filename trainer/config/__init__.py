"""The recipe: its keys, how a file with them is read, and what is said where that fails."""
