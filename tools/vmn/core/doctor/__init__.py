"""Why a release does not serve: pure functions of what was read from the cluster."""
