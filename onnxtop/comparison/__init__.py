"""Two models side by side: which layer became which, and what changed in its weights and its topology."""
