"""A replica that stops loses nothing: the running batch ends, or it is put back into the queue."""

from threading import Semaphore, Thread

from tests.support.waiting import wait_until


def test_a_replica_that_stops_ends_its_batch_and_takes_no_other(serve, gate):
    with serve() as service:
        running, waiting = service.submit(), service.submit()
        gate.close(after=2)
        service.start()
        gate.wait()
        stopping = Thread(target=service.engine.stop, args=(60.0,))
        stopping.start()
        gate.open()
        stopping.join()
        assert [job.state for job in service.all(running, waiting)] == ["completed", "queued"]


def test_a_batch_that_does_not_end_in_time_is_put_back_and_its_attempt_does_not_count(serve, gate):
    with serve(batch=2) as service:
        jobs = [service.submit(), service.submit()]
        gate.close(after=2)
        service.start()
        gate.wait()
        service.engine.abandon()
        gate.open()
        service.engine.stop(60.0)
        assert [(job.state, job.lost) for job in service.all(*jobs)] == [("queued", 0)] * 2


def test_a_step_that_takes_longer_than_the_lease_keeps_its_job(serve, gate, monkeypatch):
    clock = [1e9]
    with serve(lease_seconds=5.0, clock=lambda: clock[0]) as service:
        renewed, progress = Semaphore(0), service.store.progress
        monkeypatch.setattr(service.store, "progress", lambda *args: (progress(*args), renewed.release())[0])
        job = service.submit()
        gate.close(after=1)
        service.start()
        gate.wait()
        clock[0] += 4
        for _ in range(3):  # one may have begun before the clock moved
            assert renewed.acquire(timeout=200)
        clock[0] += 4
        assert service.store.requeue_abandoned() == 0
        gate.open()
        (job,) = service.wait(job)
        assert (job.state, job.attempt, job.lost) == ("completed", 1, 0)


def test_what_a_replica_makes_of_a_job_that_it_has_lost_counts_for_nothing(serve, gate):
    clock = [1e9]
    with serve(clock=lambda: clock[0]) as service:
        job = service.submit()
        gate.close(after=1)
        service.start()
        gate.wait()
        while service.store.requeue_abandoned() == 0:  # a renewal may come between
            clock[0] += 100
        (other,) = service.store.claim("another", ["champion"], 1)
        gate.open()
        wait_until(lambda: not service.engine.running, every_s=0.01)
        (found,) = service.all(job)
        assert (found.state, found.replica, found.attempt) == ("in_progress", "another", 2)
        assert other.batch == found.batch and found.clips == []


def test_jobs_that_lost_their_replica_run_alone_in_the_last_attempt(serve):
    clock = [1e9]
    with serve(batch=2, attempts=2, clock=lambda: clock[0]) as service:
        jobs = [service.submit(), service.submit()]
        assert len(service.store.claim("another", ["champion"], 2)) == 2
        clock[0] += 100
        assert service.store.requeue_abandoned() == 2
        service.start()
        assert [job.state for job in service.wait(*jobs)] == ["completed", "completed"]
        assert (service.counted("batches_total", "1"), service.counted("batches_total", "2")) == (2, 0)
