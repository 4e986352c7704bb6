"""Properties run the same way everywhere: derived from their source, without a clock and without a memory."""

from hypothesis import settings

settings.register_profile("steady", derandomize=True, deadline=None, database=None, print_blob=False)
settings.load_profile("steady")
