"""The demo: everything started with both vendors simulated, and what happened compared with what arrived."""
