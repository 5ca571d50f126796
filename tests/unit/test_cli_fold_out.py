"""Where `kith fold` must not write."""

from pathlib import Path

import pytest

from tests.unit.test_cli_fold import A_LINE, CUSTOMERS, kith


@pytest.mark.parametrize("out", ["builder.yaml", "transform.py", "link"])
def test_the_definition_that_is_folded_by_is_never_overwritten(out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    builder = Path("builder")
    builder.mkdir()
    texts = {
        "builder.yaml": (CUSTOMERS / "builder.yaml").read_text(),
        "transform.py": "def transform(event, context):\n    return event\n",
    }
    for name, text in texts.items():
        (builder / name).write_text(text)
    (builder / "link").symlink_to("builder.yaml")
    Path("in.jsonl").write_bytes(A_LINE)
    result = kith("in.jsonl", builder=builder, out=builder / out)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"kith: cannot fold: --out builder/{out} would overwrite builder/")
    assert {name: (builder / name).read_text() for name in texts} == texts
    assert kith("in.jsonl", builder=builder, out=builder / "profiles.jsonl").exit_code == 0
