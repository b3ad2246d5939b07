"""Sweeps on a real Dask scheduler and workers in processes of their own, some of which are killed."""

import re
from collections.abc import Callable, Iterator

import pytest
import sweep_models
from dask_cluster import Cluster

from lba_onnx.sweeping import WorkerError, cluster, schedule


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Cluster]]:
    made: list[Cluster] = []

    def start_cluster(workers: int, **settings: int) -> Cluster:
        made.append(Cluster(tmp_path, **settings))
        made[0].add_workers(workers)
        return made[0]

    yield start_cluster
    made[0].close()


def test_loss_of_a_worker_changes_nothing(start):
    started = start(2)
    done_at_loss = []

    def kill(done: int, total: int | None) -> None:
        if done >= 24 and not done_at_loss:
            started.workers[0].kill()
            started.workers[0].wait()
            done_at_loss.append((done, total))

    result = sweep_models.run(metric=sweep_models.slow, scheduler=started.address, progress=kill)
    [(done, total)] = done_at_loss
    assert done < total == 4 * sweep_models.IMAGES
    assert result == sweep_models.run(metric=sweep_models.slow)


def test_loss_of_all_workers_is_an_error_after_a_while(start, monkeypatch):
    monkeypatch.setattr(cluster, "_WORKER_SECONDS", 1)
    monkeypatch.setattr(schedule, "_CHECK_SECONDS", 0.2)
    started = start(0)
    with pytest.raises(WorkerError, match=f"{started.address}: expected at least one worker, got none for 1 s"):
        sweep_models.run(scheduler=started.address)
    started.add_workers(1)
    monkeypatch.setattr(cluster, "_WORKER_SECONDS", 30)

    def kill(done: int, total: int | None) -> None:
        monkeypatch.setattr(cluster, "_WORKER_SECONDS", 1)
        started.workers[0].kill()

    with pytest.raises(WorkerError, match="expected at least one worker, got none for 1 s"):
        sweep_models.run(metric=sweep_models.slow, scheduler=started.address, progress=kill)


def test_loss_of_the_scheduler_is_an_error(start):
    started = start(1)

    def kill(done: int, total: int | None) -> None:
        started.scheduler.kill()

    with pytest.raises(WorkerError, match="the scheduler was lost"):
        sweep_models.run(metric=sweep_models.slow, scheduler=started.address, progress=kill)


def test_part_that_kills_its_workers_is_an_error(start):
    started = start(1, allowed_failures=0)
    with pytest.raises(WorkerError, match="workers were lost"):
        sweep_models.run(metric=sweep_models.deadly, scheduler=started.address)


def test_scheduler_that_does_not_answer_is_an_error(monkeypatch):
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.2s"}),
        pytest.raises(WorkerError, match=re.escape("tcp://127.0.0.1:9: no Dask scheduler answers")),
    ):
        sweep_models.run(scheduler="tcp://127.0.0.1:9")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nonsense:port", "expected a scheduler's address such as tcp://host:8786, got nonsense:port"),
        ("xyz://127.0.0.1:9", "unknown address scheme 'xyz'"),
        ("tls://127.0.0.1:9", "expected certificates under distributed.comm.tls"),
    ],
)
def test_address_that_is_none_is_refused(address, message):
    with pytest.raises(WorkerError, match=message):
        sweep_models.run(scheduler=address)
