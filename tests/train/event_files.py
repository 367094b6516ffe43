"""Event files, read by TensorBoard itself."""

from pathlib import Path


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The curves in a folder by name, as pairs of step and value."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {
        name: [(event.step, event.value) for event in found.Scalars(name)] for name in sorted(found.Tags()["scalars"])
    }
