"""One file per source of evidence, and the fusion of their results."""
