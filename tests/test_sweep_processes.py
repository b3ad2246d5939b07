"""Sweeps in processes of this machine, some of which are killed."""

import multiprocessing

import pytest
import sweep_models

from lba_onnx.sweeping import WorkerError


def test_loss_of_a_process_changes_nothing():
    done_at_loss = []

    def kill(done: int, total: int | None) -> None:
        if done >= 24 and not done_at_loss:
            multiprocessing.active_children()[0].kill()
            done_at_loss.append((done, total))

    result = sweep_models.run(metric=sweep_models.slow, workers=2, progress=kill)
    [(done, total)] = done_at_loss
    assert done < total == 4 * sweep_models.IMAGES
    assert result == sweep_models.run(metric=sweep_models.slow)


def test_part_that_kills_its_process_is_an_error():
    with pytest.raises(WorkerError, match="point 0, shard 0: lost with its worker too often"):
        sweep_models.run(metric=sweep_models.deadly, workers=1)


def test_error_in_a_process_is_that_of_this_process():
    def raised(workers: int | None) -> str:
        with pytest.raises(ValueError) as caught:
            sweep_models.run(metric=sweep_models.wrong, workers=workers)
        return str(caught.value)

    assert raised(1) == raised(None)


def test_metric_that_cannot_be_sent_is_refused():
    with pytest.raises(ValueError, match="metric .*<lambda>: cannot be sent to other processes"):
        sweep_models.run(metric=lambda outputs, labels: outputs["y"][:, 0], workers=1)
