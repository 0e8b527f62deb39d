"""Rule and limit files, with their tests and their parser."""
