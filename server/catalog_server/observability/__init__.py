"""Structured logs and metric definitions.

Authority: the shape of a log line (`logs`) and the names and labels of metrics (`metrics`). What is counted,
and when, is decided where it happens.
"""
