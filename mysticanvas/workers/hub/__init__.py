"""Fetches models from the Hugging Face hub: the only code of ours that uses the network."""
