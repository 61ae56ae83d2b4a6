"""What the words mean that onnxtop prints: plain text, a module a question, for ``explain`` and the pages.

A rule, an option, and a key of the JSON are explained where they are declared; here stands what has no
such place, or deserves more than a sentence. ``tests/test_vocabulary.py`` finds printed words that nothing
explains.
"""
