"""Pure: values, schemas and messages; no program is run and no file is read here."""
