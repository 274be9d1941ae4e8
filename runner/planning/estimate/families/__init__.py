"""The causal families of transformers whose layers are known here, and how each is built from its configuration."""
