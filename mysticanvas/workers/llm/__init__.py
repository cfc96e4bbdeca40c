"""The engine of language models: llama.cpp, and nothing else that imports it."""
