"""Luthier: the domain of a fine-tuning platform that a team owns."""
