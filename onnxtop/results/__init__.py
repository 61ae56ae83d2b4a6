"""What is written to disk: frozen dataclasses of plain values that mirror the JSON, and its schema."""
