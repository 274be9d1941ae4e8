"""The base model: its files, its tokenizer, how it is loaded."""
