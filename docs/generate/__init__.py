"""What of the site is made from code and committed tables: the API reference, the pages of the benchmark."""
