"""What is counted once for a page of docs, and has no goal: each module is a command of its own."""
