"""What several tests use: running environments, sample documents, helpers."""
