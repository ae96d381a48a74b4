"""Hooks into frameworks that people train with: each is imported only by whoever uses it."""
