"""Nearest neighbours: flat (the reference), FAISS, BM25, and the store on disk. Knows ids, vectors and words only."""
