"""Types that cross a process boundary: frozen, typed, without I/O.

Kernel, orchestrator and workers never import one another; they agree on what is here.
"""
