from typing import Any

def __getattr__(name: str) -> Any: ...  # compiled modules carry no types of their own
