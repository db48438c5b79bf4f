"""The benchmarks of LiteRT run, for real and as short as can be."""

import json

import pytest

from modelctl import cli


def test_the_benchmarks_of_litert_give_every_row_and_where_a_cold_start_goes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = cli.main(["bench", "litert", "--runs", "1", "--json"])
    document = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in document["rows"]}
    assert list(rows) == [
        "cold start, litert, direct call, against the shortest handler",
        "cold start, litert, first S3 event, against the shortest handler",
        "memory, litert, after the first S3 event, against the shortest handler",
        "processor time, litert, an input in a batch of ten, against the same with botocore",
        "warm call, litert, our code, direct call, 1 KB JSON, against LiteRT alone",
        "warm call, litert, our code, direct call, 1 KB JSON, against reading and writing that JSON",
        "warm call, litert, our code, S3 event without S3, 1 KB JSON, against LiteRT alone",
        "warm call, litert, our code, S3 event without S3, 1 KB JSON, against reading and writing that JSON",
    ]
    for row in rows.values():
        assert {"name", "measured", "baseline", "ratio", "goal", "holds"} <= set(row)
        assert row["measured"] > 0
        assert row["baseline"] > 0
    assert [row["goal"] for row in rows.values()] == [1.15, 0.6, 80, 0.35, None, 1.75, None, 7.5]
    # How fast it is this time is not for a test to say; that what is missed is a failure is.
    assert status == int(any(row["holds"] is False for row in rows.values()))
    assert set(document["profile"]) == {"direct call", "first S3 event", "batch of 10", "batch of 100"}
    for batch in ("batch of 10", "batch of 100"):
        steps = {step["what"]: step["ms"] for step in document["profile"][batch]}
        assert {"reading messages", "decoding", "predicting", "result documents", "log lines", "metrics"} < set(steps)
        assert min(steps.values()) > 0
    initialisation, first_call = (
        {step["what"] for step in document["profile"]["first S3 event"] if step["phase"] == phase}
        for phase in ("initialisation", "first call")
    )
    loads = "inference.handler, which loads the model and calls it once"
    assert {"awslambdaric", "numpy", "ai_edge_litert", "inference.config", loads} <= initialisation
    assert {"obstore", "inference.batch"} <= first_call
    assert not {"boto3", "botocore", "PIL", "onnxruntime"} & (initialisation | first_call)
