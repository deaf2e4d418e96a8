"""One recipe per method: which stages, on which data, with which settings."""
