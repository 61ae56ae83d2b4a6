"""Rules: what an engineer should look at. One small function a rule, one catalogue."""
