"""Where a report is read."""

from __future__ import annotations

import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from flows.report_links import report_link
from speechmill.settings import Settings
from storage.catalog import Catalog
from tests.servers import S3Server


def test_a_report_is_read_where_it_is_served_or_signed_or_lies(
    tmp_path: Path, moto_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report.html").write_text("<p>all well</p>", "utf-8")
    catalog = Catalog.open(f"sqlite:///{tmp_path / 'catalog.db'}")
    job = replace(catalog.add_job("dub", {}, "0" * 64), out=str(tmp_path))
    catalog.close()
    assert report_link(job, Settings(home=tmp_path)) == (tmp_path / "report.html").as_uri()
    served = Settings(home=tmp_path, reports_url="http://studio:4280/")
    assert report_link(job, served) == f"http://studio:4280/{job.id}/report.html"
    moto_server.reach(monkeypatch)
    kept = Settings(
        home=tmp_path, objects_url=f"s3://{moto_server.new_bucket()}/studio", s3_endpoint_url=moto_server.url
    )
    with urllib.request.urlopen(report_link(job, kept), timeout=10) as page:
        assert page.read() == b"<p>all well</p>"
        assert page.headers["Content-Type"].startswith("text/html")
