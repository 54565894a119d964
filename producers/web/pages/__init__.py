"""The pages for customers; each module has the pages of one subject."""
