"""The kinds of jobs, one file each.

A kind is a frozen dataclass of arguments and a function that takes its collaborators and answers a `Kind`:

    @dataclass(frozen=True, slots=True)
    class SendPages:
        pages: tuple[str, ...]
        permissive: bool = False

    def send_pages(archive: Archive, client: Client) -> Kind[SendPages]:
        def run(arguments: SendPages, running: Running) -> Iterator[Progress]:
            total = len(arguments.pages)
            for index in range(running.checkpoint or 0, total):       # where an earlier run had come to
                with running.item(arguments.permissive):              # Permissive: count what is refused and go on
                    client.send(arguments.pages[index])
                yield Progress(index + 1, total, checkpoint=index + 1)  # here it is paused, ended, written down
            running.content["Sent"] = total                           # results are part of Content

        def content(arguments: SendPages) -> dict[str, object]:       # what GET /jobs/{id} shows from the beginning
            return {"Description": "REST API", "FailedInstancesCount": 0, "PagesCount": len(arguments.pages)}

        return Kind("SendPages", SendPages, run, content, may_pass=lambda error: isinstance(error, RemoteAway))

`app.py` lists it, and a handler ends with `jobs.answer(services, SendPages(pages), parameters)`.

What a kind promises:

- **Arguments say everything.** Whoever submits the job looks up what it is about; `run` may begin years later in
  another process. They come back from JSON (see `jobs.arguments`); when their fields change, `version` grows and
  `upgrade` reads the older ones.
- **A step may be taken twice.** After a crash the job goes on from the last progress that was written down, which may
  be half a second old. So a step is harmless when repeated: it sends an instance whose receiver knows it by its UID,
  stores what is stored already, deletes what is gone. New identifiers are computed from arguments, or kept in a
  checkpoint with `durable=True` before they are used. An effect in the index that must happen exactly once goes through
  `running.write`, which commits it together with the progress.
- **A checkpoint is enough.** A job that was paused, failed for a while or changed processes is a new call of `run`,
  with `running.checkpoint` and `running.content` as they were written down together; without a checkpoint, as at first.
  So `content` changes just before a yield.
- **It yields often**, after each unit of work; that is the only moment at which it is paused, ended or moved. Yielding
  costs about 3 µs, and writes at most twice a second. A step that takes long looks at `running.stopping` and yields
  early.
- **It refuses with an `AmonsulError`.** `payload` becomes `ErrorPayload`. `may_pass` tells which errors are the
  remote's: such a job is tried again, later and later, if whoever submits it allows more than one attempt.
- **Files it makes** go to `running.keep_output` and are downloaded from `/jobs/{id}/{name}`.
"""
