"""Terraform's runs: plans, what they change, and applying them."""
