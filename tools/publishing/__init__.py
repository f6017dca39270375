"""What a release consists of: built, described, signed, and pushed. The release workflow runs the same commands."""
