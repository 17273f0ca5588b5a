"""Which of two values of a metric is the better one. Standard library alone: the client draws by it."""


def is_better(value: float, than: float, direction: str) -> bool:
    """Tell whether a value is better than another one; `direction` is "min" or "max". A nan is no better."""
    return value < than if direction == "min" else value > than
