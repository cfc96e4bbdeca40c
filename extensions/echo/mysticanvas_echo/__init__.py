"""An extension of MystiCanvas that needs no model: reference for others, and what tests use."""

from mysticanvas_echo.model import MODEL, make_model

__all__ = ["MODEL", "make_model"]
