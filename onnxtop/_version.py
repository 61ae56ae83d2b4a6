"""Version and home of the project, in one place: read by the build, the command line and every report."""

__version__ = "0.1.0"

HOME = "https://github.com/onnxtop/onnxtop"
"""Where the project lives: what reports point to for help."""
