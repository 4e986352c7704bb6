"""Apache Kafka as a program of this machine's Java."""

import hashlib
import shutil
from contextlib import closing
from pathlib import Path

from tests.support.servers.addresses import free_port
from tests.support.servers.cache import cached
from tests.support.servers.engines import Unavailable, started
from tests.support.servers.folder import KeptFolder, in_kept_folder
from tests.support.servers.kafka import OwnKafka
from tests.support.servers.kafka_jars import kafka_jars
from tests.support.servers.kafka_settings import Guarded, kafka_settings, new_cluster_id
from tests.support.servers.process import ProcessEngine, Program, run

_LOGGING = f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties')}"
_SMALL_AND_SOON = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]


def kafka_of_the_jars(guarded: Guarded | None = None) -> OwnKafka:
    """A Kafka of our own, running on this machine. Raises Unavailable."""
    found = shutil.which("java")
    if found is None:
        raise Unavailable("there is no Java")
    java = [found, *_SMALL_AND_SOON, "-cp", ":".join(str(jar) for jar in kafka_jars())]
    return _running([*java, f"-XX:SharedArchiveFile={_classes(java)}", _LOGGING], guarded or Guarded())


def _classes(java: list[str]) -> Path:
    """Java's archive of the classes that Kafka loads; with it Kafka starts in half the time."""
    program = Path(java[0]).resolve()
    fits = hashlib.sha256(f"{program} {program.stat().st_mtime_ns} {java}".encode()).hexdigest()[:16]
    return cached(f"kafka-{fits}.jsa", lambda archive: _archive_classes(java, archive))


def _archive_classes(java: list[str], archive: Path) -> None:
    with closing(_running([*java, f"-XX:ArchiveClassesAtExit={archive}", _LOGGING], Guarded())) as kafka:
        kafka.stop()
    if not archive.exists():
        raise Unavailable("Java made no archive of classes")


def _running(java: list[str], guarded: Guarded) -> OwnKafka:
    return in_kept_folder("kafka", lambda folder: _started(java, folder, guarded))


def _started(java: list[str], folder: KeptFolder, guarded: Guarded) -> OwnKafka:
    java = [*java, f"-Djava.io.tmpdir={folder.path}"]
    servers, settings = f"127.0.0.1:{free_port()}", folder.path / "server.properties"
    _write(settings, servers, folder.path / "data", guarded)
    _format(java, settings, folder.path, guarded)
    program = Program(command=[*java, "kafka.Kafka", str(settings)])
    return started(OwnKafka(servers, ProcessEngine(program, folder)))


def _write(file: Path, broker: str, data: Path, guarded: Guarded) -> None:
    controller = f"127.0.0.1:{free_port()}"
    settings = kafka_settings(
        broker=broker,
        advertised=broker,
        controller=controller,
        guarded=guarded,
        controller_quorum_bootstrap_servers=controller,
        log_dirs=str(data),
    )
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))


def _format(java: list[str], settings: Path, folder: Path, guarded: Guarded) -> None:
    options = ["--standalone", f"--cluster-id={new_cluster_id()}", "--config", str(settings), *guarded.formatting]
    run(Program(command=[*java, "kafka.tools.StorageTool", "format", *options]), folder)
