"""What the budgets of the design come to on this machine: `python -m tests.benchmarks`, which is `make bench`.

Each budget is a ratio or a latency measured within one run, because machines differ.
"""
