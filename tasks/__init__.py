"""The stages of a job, one noun per module."""

import os

# The stages share the cores by threads of their own. A matrix product that starts threads of its own as well makes
# every one of them wait for the others: measuring an hour then costs twice the time of the processor.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
