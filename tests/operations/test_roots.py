"""Whoever fills in a form from afar reads and writes only what the operator has named for that."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest

from flows.admission import admit, on_this_machine
from flows.progress import StreamProgress
from flows.start import job_for, run_job
from speechmill.episodes import PodcastRequest
from speechmill.errors import BadInput, ForbiddenSource
from speechmill.requests import DubbingRequest
from speechmill.roots import refuse_outside
from speechmill.settings import Settings, settings
from tasks.workplace import open_catalog


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A root with a film, beside something private; links lead from one to the other."""
    root = tmp_path / "media"
    (root / "films").mkdir(parents=True)
    (root / "films/talk.mp4").write_bytes(b"")
    (tmp_path / "media-private").mkdir()
    (tmp_path / "media-private/key.pem").write_bytes(b"")
    (root / "out").symlink_to(tmp_path / "media-private")
    (root / "talk.mp4").symlink_to(root / "films/talk.mp4")
    return root


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("{root}/films/talk.mp4", True),
        ("{root}/films/new-folder/out", True),
        ("{root}/talk.mp4", True),  # a link, to what lies inside too
        ("{root}/films/../films/talk.mp4", True),
        ("{root}/../media-private/key.pem", False),
        ("{root}/out/key.pem", False),  # a link that leads outside
        ("{root}-private/key.pem", False),
        ("/etc/passwd", False),
        ("~/.ssh/id_ed25519", False),
        ("films/talk.mp4", False),  # whatever folder the service was started in
        ("file:///etc/passwd", False),
        ("http://studio/in/talk.mp4", False),
        ("s3://studio/in/talk.mp4", True),
        ("s3://studio/in/../keys/talk.mp4", False),
        ("s3://studio/inside/talk.mp4", False),
        ("s3://studio/in", False),
        ("s3://other/in/talk.mp4", False),
        ("https://example.org/a.html", False),
    ],
)
def test_what_lies_under_a_root(media: Path, name: str, inside: bool) -> None:
    def judge() -> None:
        refuse_outside([name.format(root=media)], [str(media), "s3://studio/in/"])

    if inside:
        judge()
    else:
        with pytest.raises(ForbiddenSource, match="SPEECHMILL_SOURCE_ROOTS"):
            judge()


def test_https_is_a_setting_of_its_own(media: Path) -> None:
    refuse_outside(["https://example.org/a.html"], [str(media)], allow_https=True)


@pytest.mark.parametrize("field", ["source", "script", "glossary", "bed", "out", "translations"])
def test_everything_that_a_dubbing_form_names_is_judged(media: Path, field: str) -> None:
    chosen = Settings(home=media, source_roots=(str(media),))
    inside = {"source": f"{media}/talk.mp4", "targets": ("es",)}
    admit(DubbingRequest.model_validate(inside), chosen)
    outside = {"es": "/etc/passwd"} if field == "translations" else "/etc/passwd"
    with pytest.raises(ForbiddenSource, match="/etc/passwd"):
        admit(DubbingRequest.model_validate({**inside, field: outside}), chosen)


@pytest.mark.parametrize("field", ["source", "cast", "show", "lexicon", "intro", "bed", "outro", "out"])
def test_everything_that_a_podcast_form_names_is_judged(media: Path, field: str) -> None:
    chosen = Settings(home=media, source_roots=(str(media),))
    inside = {"source": f"{media}/talk.md", "intro": "simple"}
    admit(PodcastRequest.model_validate(inside), chosen)
    with pytest.raises(ForbiddenSource, match="/etc/passwd"):
        admit(PodcastRequest.model_validate({**inside, field: "/etc/passwd"}), chosen)


def test_a_request_has_no_path_that_nobody_judges() -> None:
    """A field that is added to a request is either judged by admission, or named here as no path."""
    judged = {
        "source", "script", "glossary", "bed", "out", "cast", "show", "lexicon", "intro", "outro", "translations",
        "collected", "profile",
    }  # fmt: skip
    harmless = {
        "targets", "language", "engines", "audio_track", "speakers", "background", "format", "minutes",
        "seats", "stems", "disclosure", "approve", "mp4", "again",
    }  # fmt: skip
    for request in (DubbingRequest, PodcastRequest):
        assert set(request.model_fields) <= judged | harmless


def test_without_roots_only_this_machine_is_trusted(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Settings(home=media)
    asked = DubbingRequest(source="/srv/talk.mp4", targets=("es",))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    admit(asked, chosen)
    with pytest.raises(ForbiddenSource):
        admit(asked, chosen, "/srv/drop")  # it came from a drop folder, and names another
    admit(asked, chosen, "/srv")
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example:4200/api")
    with pytest.raises(ForbiddenSource):
        admit(asked, chosen)


def test_a_form_that_names_what_it_may_not_makes_no_job(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the deployment runs, without its server."""
    from flows.deployments import dub
    from flows.forms import DubbingForm

    monkeypatch.setenv("SPEECHMILL_HOME", str(media.parent / "home"))
    monkeypatch.setenv("SPEECHMILL_SOURCE_ROOTS", str(media))
    settings.cache_clear()
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    try:
        state = dub.fn(DubbingForm(source="/etc/passwd", targets=["es"]))
        catalog = open_catalog(settings())
        assert catalog.jobs(10) == []
        catalog.close()
    finally:
        settings.cache_clear()
        root.handlers[:] = kept
        root.setLevel(level)
        logging.captureWarnings(False)
    assert state.is_failed()
    assert "/etc/passwd may not be read or written" in (state.message or "")


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("", True),
        ("http://127.0.0.1:4200/api", True),
        ("http://[::1]:4200/api", True),
        ("http://localhost:4200/api", True),
        ("http://10.0.0.4:4200/api", False),
        ("http://localhost.example/api", False),
    ],
)
def test_which_servers_are_of_this_machine(url: str, here: bool) -> None:
    assert on_this_machine(url) is here


def test_roots_are_written_with_commas(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPEECHMILL_SOURCE_ROOTS", "/srv/media, s3://studio/in/")
    assert Settings(home=tmp_path).source_roots == ("/srv/media", "s3://studio/in/")


SCRIPT = {
    "title": "Talk",
    "language": "en",
    "speakers": {"A": {"consent": {"who": "Ann", "when": "2026-05-01", "scope": "Talk"}}},
    "lines": [{"id": "1", "speaker": "A", "text": "The mill stands by the river."}],
}


@pytest.mark.parametrize("named_by", ["art", "cast", "lexicon", "intro", "bed", "outro", "script"])
def test_what_the_named_files_name_is_judged_too(media: Path, tmp_path: Path, named_by: str) -> None:
    """A show and a script under a root that name somebody else's file; read when the job runs, so judged then."""
    private = tmp_path / "media-private/key.pem"
    source, show = media / "talk.json", media / "show.toml"
    speakers = {"A": {**SCRIPT["speakers"]["A"], "reference": str(private)}}
    source.write_text(json.dumps({**SCRIPT, "speakers": speakers if named_by == "script" else {"A": {}}}))
    names = f'{named_by} = "../media-private/key.pem"\n' if named_by != "script" else ""
    show.write_text(f'title = "Mills"\n{names}')
    asked = PodcastRequest(source=str(source), show=str(show), engines={"speak": "rehearsal"}, out=str(media / "new"))
    chosen, progress = Settings(home=tmp_path / "home"), StreamProgress(StringIO())

    def run(within: tuple[str, ...] | None) -> None:
        with closing(open_catalog(chosen)) as catalog:
            job = job_for("podcast", asked, chosen, catalog, str(media), progress, within)
            run_job(job.id, chosen, catalog, progress, prefect=False)

    with pytest.raises(ForbiddenSource, match=r"key\.pem may not be read"):
        run((str(media),))
    assert not (media / "new").exists()
    with pytest.raises(BadInput) as caught:  # whoever types the command is told what is wrong with the file instead
        run(None)
    assert not isinstance(caught.value, ForbiddenSource)
