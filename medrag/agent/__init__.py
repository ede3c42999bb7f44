"""The multi-turn search loop: plan, call a tool, verify what it found, and answer from what was kept.

`graph.Agent` runs it over an opened `medrag.MedRAG`; `chat.Chat` keeps evidence from one question to the next.
"""
