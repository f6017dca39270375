"""What is generated in the chart and the README: the JSON schema and the tables. `make generate`, `make verify`."""
