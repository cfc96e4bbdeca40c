"""Stands where the inspector would be, and never answers."""

from __future__ import annotations

import sys

sys.stdin.read()
