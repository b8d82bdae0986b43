"""Chaos: one seed makes a schedule of faults; then every fault ends, and a checker reads the histories."""
