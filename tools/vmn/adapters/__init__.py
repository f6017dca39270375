"""Everything outside of this process: files, helm, chart-testing, kubectl."""
