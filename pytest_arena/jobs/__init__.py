"""Job files: three formats, one strict model."""
