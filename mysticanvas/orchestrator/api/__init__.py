"""Thin routes: each turns a request into one call and its outcome into a document."""
