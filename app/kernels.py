"""Modules with kernels besides those of the features, for `features.kernel.compile_kernels`."""

#: What deciding needs.
DECIDING = ("policy.screening", "scoring.points", "scoring.anomaly", "policy.standing")
#: What a worker needs.
WORKING = (*DECIDING, "messages.unpacking", "messages.answers", "store.names", "store.wire")
