"""Invented people and their days, played as fast as asked for, and what truly happened in them."""
