"""Hooks of the registries in these tests."""
