"""vmn: plans, checks and installs one large model over one or many GPU nodes."""

__version__ = "0.2.0"
