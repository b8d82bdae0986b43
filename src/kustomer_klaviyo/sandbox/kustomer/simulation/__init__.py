"""Simulated traffic: scenarios, fake people, actions, and the events that they are expected to cause."""
