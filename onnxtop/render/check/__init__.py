"""The verdict of ``check`` where it differs from a report: for people."""
