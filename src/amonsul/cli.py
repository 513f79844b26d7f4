"""The command line: `amonsul serve`, and what is done to a store without a server.

Whatever starts Orthanc can start this, too: `amonsul CONFIGURATION… --verbose --logdir=…` serves, `--config=FILE`
writes a commented configuration. Imports stay inside the commands, so that `amonsul --version` answers at once.
"""

from __future__ import annotations

import getpass
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

from cyclopts import App, Parameter

from amonsul import __version__, logs
from amonsul.errors import AmonsulError

if TYPE_CHECKING:  # loaded by the commands that need them
    from collections.abc import Callable

    from rich.console import Console

    from amonsul.archive.folder_import import ImportProgress
    from amonsul.archive.fsck import Report
    from amonsul.config.reader import Configuration

app = App(
    name="amonsul",
    version=f"Amonsul {__version__}",
    version_flags=["--version"],
    help="A DICOM server driven over REST, DICOM networking and DICOMweb. Without a command it serves.",
    help_format="markdown",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the program: exits with 0, or with another status and one message on stderr."""
    given = sys.argv[1:] if arguments is None else arguments
    if list(given) == ["--version"]:
        print(f"Amonsul {__version__}")
        return
    try:
        app(_with_log_options(given))
    except AmonsulError as error:
        _fail(error.details or error.message)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(message: str) -> NoReturn:
    print(f"amonsul: {' '.join(message.split())}", file=sys.stderr)  # libraries break their lines
    sys.exit(1)


def _with_log_options(arguments: Sequence[str]) -> list[str]:
    """`--verbose-dicom` and the like as `--log dicom=verbose`."""
    result: list[str] = []
    for argument in arguments:
        level, _, category = argument.removeprefix("--").partition("-")
        if argument.startswith("--") and level in ("verbose", "trace") and category in logs.CATEGORIES:
            result += ["--log", f"{category}={level}"]
        else:
            result.append(argument)
    return result


@app.command
@app.default
def serve(
    *configuration: Annotated[Path, Parameter(help="Configuration files and folders of them, merged in this order.")],
    verbose: Annotated[bool, Parameter(negative="", help="Log more.")] = False,
    trace: Annotated[bool, Parameter(negative="", help="Log everything.")] = False,
    log: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            help=f"CATEGORY=LEVEL: verbosity (default, verbose, trace) of one of {', '.join(logs.CATEGORIES)}; "
            "`--verbose-CATEGORY` and `--trace-CATEGORY` do the same.",
        ),
    ] = (),
    logfile: Annotated[Path | None, Parameter(help="Write the log to this file instead of stderr.")] = None,
    logdir: Annotated[Path | None, Parameter(help="Write the log to a new file in this folder.")] = None,
    config: Annotated[
        str | None, Parameter(help="Write a configuration with all defaults and comments to this file (- for stdout).")
    ] = None,
    openapi: Annotated[
        str | None, Parameter(help="Write the OpenAPI description of the REST API to this file (- for stdout).")
    ] = None,
    errors: Annotated[bool, Parameter(negative="", help="Print the error codes of the REST API.")] = False,
    upgrade: Annotated[
        bool, Parameter(negative="", help="Taken for compatibility: an older index is always upgraded.")
    ] = False,
    jobs: Annotated[bool, Parameter(help="Taken for compatibility: whether saved jobs go on.")] = True,
) -> None:
    """Serve in the foreground until SIGTERM or Ctrl-C."""
    del upgrade, jobs
    if config is not None:
        from amonsul.config.writer import commented_defaults

        _write(config, commented_defaults())
    elif errors:
        _print_errors()
    elif openapi is not None:
        _write(openapi, _openapi_text())
    else:
        _start_logs(verbose=verbose, trace=trace, log=log, logfile=logfile, logdir=logdir)
        from amonsul.app import run

        run(_load(configuration, to_log=True))


def _start_logs(*, verbose: bool, trace: bool, log: tuple[str, ...], logfile: Path | None, logdir: Path | None) -> None:
    general = logs.Verbosity.TRACE if trace else logs.Verbosity.VERBOSE if verbose else logs.Verbosity.DEFAULT
    by_category: dict[str, logs.Verbosity] = {}
    for item in log:
        category, _, level = item.partition("=")
        try:
            by_category[category] = logs.Verbosity(level)
        except ValueError:
            _fail(f"--log {item}: wanted CATEGORY=LEVEL, the level default, verbose or trace")
    if logdir is not None:
        logfile = logdir / f"Amonsul.log.{time.strftime('%Y%m%d-%H%M%S')}.{os.getpid()}"
    try:
        logs.start(general, by_category, logfile)
    except OSError as error:
        _fail(f"cannot write the log {logfile}: {error.strerror}")


def _load(configuration: Sequence[Path], *, to_log: bool = False) -> Configuration:
    """Read the configuration; warnings go to the log or to stderr."""
    import logging

    from amonsul.config.reader import load

    loaded = load(configuration)
    for warning in loaded.warnings:
        if to_log:
            logging.getLogger("amonsul.config").warning("%s", warning)
        else:
            print(f"warning: {warning}", file=sys.stderr)
    return loaded


def _write(file: str, text: str) -> None:
    if file == "-":
        sys.stdout.write(text)
        return
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        _fail(f"{file}: {error.strerror}")


def _print_errors() -> None:
    waiting = [AmonsulError]
    lines: set[tuple[int, int, str]] = set()
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        lines.add((kind.orthanc_status, kind.http_status, kind.message))
    for orthanc_status, http_status, message in sorted(lines):
        print(f"{orthanc_status:5}  HTTP {http_status}  {message}")


def _openapi_text() -> str:
    import json

    from amonsul.web.openapi import describe
    from amonsul.web.routes import routes
    from amonsul.web.settings import WebSettings

    return json.dumps(describe(routes(WebSettings())), indent=1) + "\n"


@app.command(name="check-config")
def check_config(
    *configuration: Annotated[Path, Parameter(help="Configuration files and folders of them, merged in this order.")],
) -> None:
    """Read a configuration, tell what is wrong or unsafe about it, and start nothing.

    The exit status is 1 if the server would not start with it.
    """
    from amonsul.config import checklist, settings

    loaded = _load(configuration)
    settings.build_all(loaded)
    if (reason := checklist.refusal(loaded)) is not None:
        _fail(reason)
    for finding in checklist.findings(loaded):
        print(f"warning: {finding}", file=sys.stderr)
    print(f"The configuration can be used; {len(loaded.given)} options are set:")
    for path, source in sorted(loaded.given.items()):
        print(f"  {path}  ({source.name})")


@app.command(name="import")
def import_command(
    folder: Annotated[Path, Parameter(help="Every file below this folder is tried.")],
    *configuration: Annotated[Path, Parameter(help="Configuration of the store, as for `amonsul serve`.")],
    threads: Annotated[int, Parameter(help="Files that are worked on at once.")] = 4,
    again: Annotated[bool, Parameter(negative="", help="Do not skip the files that an earlier run finished.")] = False,
) -> None:
    """Store the DICOM files below a folder.

    What is stored already is left as OverwriteInstances says. An interrupted import goes on where it was. A server may
    run on the same store meanwhile. The exit status is 1 if a file could not be stored; files that are not DICOM are
    only counted.
    """
    from amonsul.app import open_archive
    from amonsul.archive.folder_import import import_folder
    from amonsul.archive.maintenance import recover
    from amonsul.config import settings

    if not folder.is_dir():
        _fail(f"{folder}: there is no such folder")
    loaded = _load(configuration)
    logs.start()
    logs.set_verbosity(logs.Verbosity.DEFAULT)
    console = _console()
    start = time.monotonic()
    with open_archive(loaded) as archive:
        recover(archive)
        journal = settings.import_journal(loaded, folder)
        if again:
            journal.unlink(missing_ok=True)
        failures: list[tuple[Path, str]] = []
        with _progress_bar(console, folder) as show:
            result = import_folder(
                archive,
                folder,
                threads=max(1, threads),
                progress=show,
                failed=lambda file, reason: failures.append((file, reason)),
                journal=journal,
            )
        if not result.failed:
            journal.unlink(missing_ok=True)
    _print_import(console, result, failures, time.monotonic() - start)
    if result.failed:
        sys.exit(1)


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


@contextmanager
def _progress_bar(console: Console, folder: Path) -> Iterator[Callable[[ImportProgress], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("Importing", total=None)

        def count() -> None:
            bar.update(task, total=sum(len(files) for _folder, _folders, files in os.walk(folder)))

        threading.Thread(target=count, daemon=True).start()
        yield lambda progress: bar.update(task, completed=progress.files)


def _print_import(console: Console, result: ImportProgress, failures: list[tuple[Path, str]], seconds: float) -> None:
    from rich.table import Table

    table = Table(show_header=False, box=None)
    for what, count in (
        ("files read", result.files),
        ("stored", result.stored),
        ("stored already", result.already_stored),
        ("refused by a filter", result.filtered_out),
        ("not DICOM", result.not_dicom),
        ("failed", result.failed),
    ):
        table.add_row(what, f"{count:,}")
    console.print(table)
    megabytes = result.bytes_read / 1e6
    rates = f"{result.files / seconds:,.0f} files and {megabytes / seconds:,.0f} MB a second"
    console.print(f"{megabytes:,.1f} MB in {seconds:.1f} s: {rates}")
    for file, reason in failures[:20]:
        console.print(f"{file}: {reason}", markup=False, style="red")
    if len(failures) > 20:
        console.print(f"… and {len(failures) - 20} more", style="red")


@app.command
def fsck(
    *configuration: Annotated[Path, Parameter(help="Configuration of the store, as for `amonsul serve`.")],
    repair: Annotated[
        bool, Parameter(negative="", help="Mend what differs; see below. Stop the server first.")
    ] = False,
    md5: Annotated[bool, Parameter(negative="", help="Read every file and compare its MD5.")] = False,
) -> None:
    """Compare the index with the stored files, both ways.

    Told are files that are missing, files of the wrong size or MD5, files that the index does not know, and sums in
    the index that are wrong. `--repair` removes files that the index does not know, removes from the index what has no
    (or, with `--md5`, a damaged) file, and writes the sums anew. The exit status is 1 if something remains wrong.
    """
    from amonsul.app import open_archive
    from amonsul.archive.fsck import Repair, check

    logs.start()
    loaded = _load(configuration)
    wanted = Repair.REMOVE_ORPHANS | Repair.REMOVE_LOST | Repair.RECOUNT if repair else Repair.NOTHING
    console = _console()
    with open_archive(loaded) as archive, console.status("Comparing…") as status:
        report = check(
            archive, wanted, verify_md5=md5, progress=lambda count: status.update(f"Comparing… {count:,} files")
        )
    _print_report(console, report)
    if not all(finding.repaired for finding in report.findings):
        sys.exit(1)


def _print_report(console: Console, report: Report) -> None:
    for finding in report.findings:
        mended = " (repaired)" if finding.repaired else ""
        console.print(f"{finding.kind}: {finding.subject}: {finding.details}{mended}", markup=False)
    console.print(
        f"{report.resources:,} resources and {report.blobs:,} files compared, {len(report.findings):,} differences"
    )


@app.command(name="recover-compressed")
def recover_compressed(
    source: Annotated[Path, Parameter(help="A file of the storage that StorageCompression wrote.")],
    target: Annotated[Path, Parameter(help="Where its content is to be written; must not be there yet.")],
) -> None:
    """Inflate one compressed file of the storage, without its index.

    Files that Orthanc compressed have the same form.
    """
    from amonsul.archive.compression import inflate_file

    try:
        inflate_file(source, target)
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}")


@app.command(name="hash-password")
def hash_password() -> None:
    """Make an argon2 hash of a password, to be put into RegisteredUsers.

    The password is asked for, or read from the standard input if that is no terminal.
    """
    from argon2 import PasswordHasher

    password = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if not password:
        _fail("the password is empty")
    print(PasswordHasher().hash(password))


@app.command(show=False)
def docs(folder: Path) -> None:
    """Write the generated pages of the documentation into a folder."""
    from amonsul.documents import pages

    for name, text in pages().items():
        _write(str(folder / name), text)


if __name__ == "__main__":
    main()
