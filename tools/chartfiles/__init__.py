"""What is generated: the JSON schema, the catalogue of values files, tables. `make generate`, `make verify`."""
