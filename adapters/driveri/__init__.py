"""Driveri: dash cameras that know their drivers by DriverID.

Source of every fact about the API: driveri-python-sdk 1.0.0.
"""
