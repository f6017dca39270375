"""The program that runs in the pod of ``vmn bench``; it needs only Python's standard library and the image's vLLM."""
