"""Small helpers without opinions: files, places, text, images, pictures, progress."""
