"""Motive: electronic logging and dispatch, whose drivers are users with the role `driver`."""
