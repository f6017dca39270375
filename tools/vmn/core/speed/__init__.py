"""How fast a layout is: a closed formula over what one pass through the model reads, computes, and sends."""
