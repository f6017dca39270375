"""A real Kubernetes cluster with real vLLM on one Linux machine, for the demo and the tests."""
