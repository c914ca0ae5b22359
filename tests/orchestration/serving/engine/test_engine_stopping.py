"""A replica that stops loses nothing: the running batch ends, or it is put back into the queue."""

from threading import Thread


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
