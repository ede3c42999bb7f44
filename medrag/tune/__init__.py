"""Training: the image-text encoder, the findings reader, the domain head and the small vision-language model."""
