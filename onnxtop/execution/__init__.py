"""Models run in a process of their own, within limits: what they give, and where two of them part."""
