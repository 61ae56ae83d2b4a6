"""A series of checkpoints: how training got there, and when it could have stopped."""
