"""Published tables: tidy and wide, scales, malformed tables, and the released retrieval table."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import bob as bob_package
from bob.errors import ConfigError
from bob.leaderboards import make_board, tidy, to_markdown, wide
from bob.leaderboards.column_roles import parse_roles
from bob.leaderboards.published import read_published, rename_clashes
from bob.leaderboards.render.ranking_table import ranking_frame
from bob.records.store import RecordStore
from bob.registry import load_registry
from tests.builders.leaderboard_records import record, task

Bob = Callable[..., tuple[int, str, str]]
DATA = Path(__file__).parents[1] / "data"
MRR = DATA / "bob_retrieval_mrr.csv"
FIRST = "timm-swinv2_base_window12to24_192to384_22kft1k"
WIDE = "model,CUB200,iNat\na,0.5,0.25\nb,0.75,\n"
TIDY = "Backbone,dataset,metric,value,task\na,CUB200,top1,0.5,probe\nb,CUB200,top1,0.75,probe\n"


def test_a_wide_table() -> None:
    records, notes = read_published(WIDE, "paper.csv")
    assert notes == []
    assert [(r.backbone_name, r.task.name, r.dataset_name, r.scores[0].value) for r in records] == [
        ("a", "paper", "CUB200", 0.5),
        ("a", "paper", "iNat", 0.25),
        ("b", "paper", "CUB200", 0.75),  # an empty cell is missing, not 0
    ]
    assert {(r.external, r.family, r.backbone, r.scores[0].n) for r in records} == {
        ("paper.csv", "external", None, None)
    }


def test_a_tidy_table() -> None:
    records, _ = read_published("\ufeff" + TIDY, "paper.csv")
    assert [(r.backbone_name, r.task.name, r.task.metrics, r.scores[0].value) for r in records] == [
        ("a", "probe", ("top1",), 0.5),
        ("b", "probe", ("top1",), 0.75),
    ]


def test_a_tidy_table_of_two_metrics_has_a_task_for_each() -> None:
    records, _ = read_published(
        "backbone,dataset,metric,value\na,x,top1,0.5\na,x,mrr,0.6\n", "paper.csv"
    )
    assert [r.task.name for r in records] == ["paper: top1", "paper: mrr"]


def test_percentages_are_divided_and_noted() -> None:
    records, notes = read_published(
        WIDE.replace("0.5", "50").replace("0.25", "25").replace("0.75", "75"), "paper.csv"
    )
    assert [r.scores[0].value for r in records] == [0.5, 0.25, 0.75]
    assert notes == ["paper.csv: some values of 'value' exceed 1, so all were read as percentages."]


def test_a_fraction_among_percentages_is_named() -> None:
    """It may be a small percentage, such as an accuracy under attack."""
    records, (note, *_) = read_published("model,food\na,0.853\nb,84\nc,0\n", "paper.csv")
    assert [r.scores[0].value for r in records] == pytest.approx([0.00853, 0.84, 0])
    assert note.endswith(
        "percentages, including 1 of 1 or less, such as 0.853 of 'a' on 'food': 0.853 %, not "
        "85.3 %."
    )


def test_values_of_a_metric_without_an_upper_bound_are_unchanged() -> None:
    records, notes = read_published(
        "backbone,dataset,metric,value\na,x,log_loss,2.5\nb,x,log_loss,0.5\n", "paper.csv"
    )
    assert [r.scores[0].value for r in records] == [2.5, 0.5] and notes == []
    assert make_board(records).overall.pool == ("b", "a")  # lower is better


MALFORMED = {
    "empty": ("", "paper.csv: no rows"),
    "header only": ("a,b\n", "paper.csv: no rows"),
    "one column": (
        "a b\nx 1\n",
        "only one column, 'a b'; columns must be separated by commas, semicolons or tabs",
    ),
    "numbers first": (
        "Rank,Model,Food101\n1,a,0.5\n2,b,0.25\n",
        "the first column, 'Rank', contains numbers, and 'Model' text. Name the column of the "
        "backbones: --external-column 'name=Model'",
    ),
    "ranks only": ("Rank,Food101\n1,0.5\n", "'Rank', contains numbers, not the names of backb"),
    "facts only": ("model,img_size,gflops\na,224,4.1\n", "no column contains scores; 'img_size'"),
    "average only": ("model,Average\na,0.5\n", "'Average' .*--external-column 'higher=COLUMN'"),
    "standard error": (
        "model,top1,top1_err\na,0.5,0.01\n",
        "'top1_err' beside 'top1' may be its error or its standard error",
    ),
    "one name, two models": (
        "name,pretrained,iNat\nViT,openai,0.5\nViT,laion,0.6\n",
        "row 3, column 'iNat': 'ViT' on 'iNat' already has a value, in row 2, column 'iNat'. "
        "'pretrained' can tell such rows apart: pass --external-column 'name=name' "
        "--external-column 'name=pretrained'",
    ),
    "two rows of a dataset": (
        "model,some_dataset,acc1\na,x,0.5\na,y,0.5\n",
        "pass --external-column 'dataset=some_dataset'",
    ),
    "names in doubt": (
        "dataset,model,pretrained,acc1\nx,ViT,openai,0.5\n",
        "column 'backbone' is missing, and 'model', 'pretrained' contain text. .*name=model",
    ),
    "pretraining data": (
        "backbone,dataset,iNat,CUB\na,ImageNet,0.5,0.6\n",
        "'iNat', 'CUB' may be metrics on the datasets that column 'dataset' names, or datasets "
        "themselves. Pass --external-column 'dataset=dataset' or --external-column "
        "'ignore=dataset'",
    ),
    "no dataset": ("backbone,dataset,acc1\na,,0.5\n", "row 2, column 'dataset': empty cell"),
    "numbered rows": (",name,iNat\n0,x,0.5\n1,y,0.6\n", "the first column contains row numbers"),
    "text only": (
        "a,notes,params\nx,good,5\n",
        "no column contains scores; 'notes', 'params' contain text or facts",
    ),
    "some signs": (
        "a,iNat\nx,50%\ny,60\n",
        "row 2, column 'iNat' has a percent sign and row 3, column 'iNat' has none",
    ),
    "thousands": ('a,iNat\nx,0.5\ny,"1,234"\n', "'1,234' is not a number"),
    "ragged": ("a,b\nx,1,2\n", "row 2: 3 cells for 2 columns; quote cells that contain ','"),
    "open quote": ('a,b\n"x,1\n', "paper.csv: not a CSV table"),
    "text among numbers": (
        "a,iNat\nx,0.5\ny,good\n",
        "row 3, column 'iNat': 'good' is not a number",
    ),
    "infinite": ("a,iNat\nx,inf\n", "row 2, column 'iNat': 'inf' is not finite"),
    "negative": (
        "a,iNat\nx,-0.5\n",
        r"row 2, column 'iNat': -0.5 is neither a fraction in \[0, 1\] nor a percentage",
    ),
    "above 100": ("a,iNat\nx,250\n", "row 2, column 'iNat': 250.0 is neither"),
    "two scales": (
        "a,iNat,CUB\nx,0.5,61.5\n",
        r"'iNat' looks like fractions \(at most 0.5\) and 'CUB' like percentages \(up to 61.5\)",
    ),
    "no name": (
        "a,iNat\n ,0.5\n",
        "row 2, column 'a': empty cell; expected the name of a backbone",
    ),
    "no dataset name": ("a,iNat,\nx,0.5,0.5\n", "row 1: column 3 has no name"),
    "column twice": ("a,iNat,iNat\nx,0.5,0.5\n", "row 1: duplicate column 'iNat'"),
    "row twice": (
        "a,iNat\nx,0.5\nx,0.6\n",
        "row 3, column 'iNat': 'x' on 'iNat' already has a value, in row 2, column 'iNat'",
    ),
    "tidy without metric": ("backbone,dataset,value\nx,y,0.5\n", "column 'metric' is missing"),
    "tidy misspelt": (
        "backbones,dataset,metric,value\nx,y,z,0.5\n",
        "column 'backbone' is missing; did you mean 'backbones'",
    ),
    "tidy empty": (
        "backbone,dataset,metric,value\nx,,z,0.5\n",
        "row 2, column 'dataset': empty cell",
    ),
    "tidy twice": (
        "backbone,dataset,metric,value\nx,y,z,0.5\nx,y,z,0.5\n",
        "row 3, column 'value': 'x' on 'y' already has a value",
    ),
    "tidy column twice": (
        "backbone,dataset,metric,value,value\nx,y,z,0.5,0.5\n",
        "duplicate column 'value'",
    ),
}


@pytest.mark.parametrize(
    "text",
    [
        "backbone,iNat,CUB\nx,0.5,0.25\n",
        "\ufeffbackbone,iNat,CUB\r\nx,0.5,0.25\r\n\r\n",
        "backbone;iNat;CUB\nx;0,5;0,25\n",
        "backbone\tiNat\tCUB\nx\t.5\t2.5e-1\n",
        "backbone,iNat,CUB\nx,50 %,25%\n",
        "backbone,iNat,CUB\nx,50,25\n",
        ",iNat,CUB\nx,0.5,0.25\n",
        "backbone,params,interp,iNat,CUB\nx,25.6,bicubic,0.5,0.25\n",
    ],
    ids=[
        "plain",
        "byte order mark and CRLF",
        "semicolons",
        "tabs",
        "percent signs",
        "percentages",
        "pandas index",
        "facts and text",
    ],
)
def test_all_common_formats_of_a_table_are_read(text: str) -> None:
    """All of these are the same table."""
    records, _ = read_published(text, "paper.csv")
    assert {record.dataset_name: record.scores[0].value for record in records} == {
        "iNat": 0.5,
        "CUB": 0.25,
    }
    assert {record.backbone_name for record in records} == {"x"}


def test_the_published_results_of_timm() -> None:
    """In timm's reference table, the first row has no value on -A, and four columns are facts."""
    records, notes = read_published(
        (DATA / "timm_reference_top1.csv").read_text(encoding="utf-8"), "timm_reference_top1.csv"
    )
    assert {record.dataset_name for record in records} == {
        "imagenet",
        "real",
        "v2_mf",
        "sketch",
        "a",
        "r",
    }
    value = {
        (record.backbone_name, record.dataset_name): record.scores[0].value for record in records
    }
    assert value["resnet50.tv_in1k", "imagenet"] == pytest.approx(0.76156)
    assert ("resnet50.tv_in1k", "a") not in value
    assert (
        "timm_reference_top1.csv: ignored columns 'param_M', 'img_size', 'crop_pct', 'interp': "
        "text or facts about the backbones, not scores."
    ) in notes


@pytest.mark.parametrize("fault", MALFORMED)
def test_malformed_tables_are_errors(fault: str) -> None:
    text, message = MALFORMED[fault]
    with pytest.raises(ConfigError, match=message):
        read_published(text, "paper.csv")


# --- meanings of columns

TIMM = (
    "model,img_size,top1,top1_err,top5,top5_err,param_count,crop_pct,interpolation,rank_diff\n"
    'big.a1,448,90.06,9.94,99.05,0.95,"1,013.01",1.000,bicubic,+2\n'
    "small.a1,288,81.25,18.75,95.5,4.5,25.56,1.000,bicubic,-1\n"
    "small.a1,224,80.5,19.5,95,5,25.56,0.950,bicubic,0\n"
)
OPEN_CLIP = (
    "name,pretrained,params (M),FLOPs (B),Average perf. on 2 datasets,ImageNet 1k,EuroSAT\n"
    "ViT-B-32,openai,151.28,14.78,0.5,0.6,0.4\nViT-B-32,laion2b,151.28,14.78,0.6,0.7,0.5\n"
)
CLIP_BENCHMARK = (
    "acc1,acc5,dataset,model,pretrained,task,recall@5\n"
    "0.5,0.75,cars,ViT,openai,zeroshot_classification,\n"
    "0.25,0.5,pets,ViT,openai,zeroshot_classification,\n"
    ",,flickr,ViT,openai,zeroshot_retrieval,0.875\n"
)


def values(text: str, *roles: str) -> dict[tuple[str, str, str], float | None]:
    """Return backbone, task and dataset → value of the table `paper.csv`."""
    records, _ = read_published(text, "paper.csv", parse_roles(roles))
    return {
        (record.backbone_name, record.task.name, record.dataset_name): record.scores[0].value
        for record in records
    }


def test_a_table_of_timm_has_two_metrics_of_one_dataset_and_names_with_sizes() -> None:
    assert values(TIMM) == {
        ("big.a1", "paper: top1", "paper"): pytest.approx(0.9006),
        ("big.a1", "paper: top5", "paper"): pytest.approx(0.9905),
        ("small.a1 (img_size 288)", "paper: top1", "paper"): pytest.approx(0.8125),
        ("small.a1 (img_size 288)", "paper: top5", "paper"): pytest.approx(0.955),
        ("small.a1 (img_size 224)", "paper: top1", "paper"): pytest.approx(0.805),
        ("small.a1 (img_size 224)", "paper: top5", "paper"): pytest.approx(0.95),
    }
    notes = read_published(TIMM, "paper.csv")[1]
    assert (
        "paper.csv: ignored columns 'top1_err', 'top5_err': 100 % minus the scores of another "
        "column."
    ) in notes
    assert "paper.csv: 1 backbone has several rows; 'img_size' is added to their names." in notes


def test_as_many_facts_are_added_to_a_name_as_tell_the_rows_apart() -> None:
    table = "model,img_size,crop_pct,top1\na,224,0.9,0.5\na,224,1.0,0.6\na,288,1.0,0.7\n"
    assert [name for name, _, _ in values(table)] == [
        "a (img_size 224, crop_pct 0.9)",
        "a (img_size 224, crop_pct 1.0)",
        "a (img_size 288, crop_pct 1.0)",
    ]


def test_a_table_of_open_clip_has_names_of_two_columns_and_no_average() -> None:
    assert values(OPEN_CLIP, "name=name", "name=pretrained") == {
        ("ViT-B-32 openai", "paper", "ImageNet 1k"): 0.6,
        ("ViT-B-32 openai", "paper", "EuroSAT"): 0.4,
        ("ViT-B-32 laion2b", "paper", "ImageNet 1k"): 0.7,
        ("ViT-B-32 laion2b", "paper", "EuroSAT"): 0.5,
    }


def test_a_table_of_clip_benchmark_has_a_row_per_dataset() -> None:
    assert values(CLIP_BENCHMARK, "name=model", "name=pretrained") == {
        ("ViT openai", "zeroshot_classification: acc1", "cars"): 0.5,
        ("ViT openai", "zeroshot_classification: acc5", "cars"): 0.75,
        ("ViT openai", "zeroshot_classification: acc1", "pets"): 0.25,
        ("ViT openai", "zeroshot_classification: acc5", "pets"): 0.5,
        ("ViT openai", "zeroshot_retrieval: recall@5", "flickr"): 0.875,
    }


@pytest.mark.parametrize(
    ("table", "first"),
    [
        ("model,ImageNet error,CUB error\na,0.5,0.25\nb,0.25,0.125\n", "b"),
        ("model,ImageNet loss\na,3.5\nb,2.5\n", "b"),
        ("backbone,dataset,metric,value\na,x,top1_err,0.5\nb,x,top1_err,0.25\n", "b"),
        ("backbone,dataset,metric,value\na,x,perplexity,5\nb,x,perplexity,120\n", "a"),
    ],
)
def test_lower_errors_and_losses_are_better(table: str, first: str) -> None:
    ranking = make_board(read_published(table, "paper.csv")[0]).overall
    assert ranking.pool[0] == first
    assert all(standing.mean_value is None for standing in ranking.standings)


def test_the_user_states_roles_of_columns() -> None:
    table = "id,arch,x,y,Average\n1,a,0.5,0.25,0.1\n2,b,0.75,0.5,0.2\n"
    roles = ("name=ARCH", "lower=x", "ignore=y", "higher=Average")
    records, notes = read_published(table, "paper.csv", parse_roles(roles))
    assert [(r.backbone_name, r.dataset_name, *r.task.metrics) for r in records] == [
        ("a", "x", "loss"),
        ("b", "x", "loss"),
        ("a", "Average", "value"),
        ("b", "Average", "value"),
    ]
    assert "paper.csv: lower is better in 'x'." in notes
    assert "paper.csv: read as scores: 'x', 'Average'." in " ".join(notes)


def test_a_tidy_table_names_its_backbones_in_a_stated_column() -> None:
    table = "model,size,dataset,metric,value\na,s,x,top1,0.5\na,l,x,top1,0.6\n"
    assert values(table, "name=model", "name=size") == {
        ("a s", "paper", "x"): 0.5,
        ("a l", "paper", "x"): 0.6,
    }


@pytest.mark.parametrize(
    "table",
    [
        "backbone,dataset,metric,value\na,x,top1,0.5\na,x,params,86\na,Average,top1,0.4\n",
        "backbone,dataset,top1\na,x,0.5\na,Average,0.4\n",
    ],
)
def test_rows_of_facts_and_averages_are_no_results(table: str) -> None:
    assert values(table) == {("a", "paper", "x"): 0.5}
    assert "ignored" in " ".join(read_published(table, "paper.csv")[1])


def test_a_column_of_pretraining_datasets_is_ignored_where_the_user_says_so() -> None:
    table = "backbone,dataset,iNat,CUB\na,ImageNet,0.5,0.6\n"
    assert values(table, "ignore=dataset") == {
        ("a", "paper", "iNat"): 0.5,
        ("a", "paper", "CUB"): 0.6,
    }
    assert values(table, "dataset=dataset") == {
        ("a", "paper: iNat", "ImageNet"): 0.5,
        ("a", "paper: CUB", "ImageNet"): 0.6,
    }


def test_a_name_may_be_a_number() -> None:
    assert values("model,notes,x\n18,good,0.5\nresnet,bad,0.25\n") == {
        ("18", "paper", "x"): 0.5,
        ("resnet", "paper", "x"): 0.25,
    }


def test_a_backbone_without_values_is_noted() -> None:
    assert read_published("m,x\na,0.5\nb,\n", "t.csv")[1] == ["t.csv: no values of 'b'."]


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        (["size=img"], "expected ROLE=COLUMN, where ROLE is one of name, dataset, higher, lower"),
        (["name"], "expected ROLE=COLUMN"),
        (["name="], "expected ROLE=COLUMN"),
        (["name=x", "ignore=X"], "the column already has the role 'name'"),
    ],
)
def test_roles_that_cannot_be_meant_are_errors(roles: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_roles(roles)


def test_a_row_with_a_missing_cell_is_excluded_and_listed() -> None:
    ranking = make_board(read_published(WIDE + "c,0.1,0.9\n", "paper.csv")[0]).overall
    assert set(ranking.pool) == {"a", "c"} and ranking.incomplete == {"b": "missing: paper/iNat"}
    frame = ranking_frame([ranking]).set_index("backbone")
    assert (
        frame.loc["b", ["mean_z", "mean_rank", "mean_value", "win_share", "tie_group"]].isna().all()
    )
    assert frame.loc["b", "incomplete"] == "missing: paper/iNat"


def test_two_datasets_are_too_few_for_a_significant_difference() -> None:
    """The datasets agree, but a sign test over two gives p = 50 %."""
    ranking = make_board(read_published("m,x,y\na,0.9,0.9\nb,0.1,0.1\n", "paper.csv")[0]).overall
    assert ranking.basis == "none"
    assert ranking.verdicts.relation("a", "b") == "untested"
    assert [standing.win_share for standing in ranking.standings] == [None, None]


# --- beside measured results


def test_published_results_do_not_change_the_measured_ones() -> None:
    measured = [record("a", 0.9), record("b", 0.8)]
    table = "backbone,dataset,metric,value,task\na,elpv,top1,0.99,linear\nc,elpv,top1,0.5,linear\n"
    others = rename_clashes(measured, read_published(table, "paper.csv")[0])
    board, alone = make_board([*measured, *others]), make_board(measured)
    for ranking, expected in (
        (board.overall, alone.overall),
        (board.by_task["linear"], alone.by_task["linear"]),
    ):
        assert ranking.standings == expected.standings
        assert ranking.settings == expected.settings
    frame = wide(board).set_index("backbone")
    assert frame["rank"].to_dict() == {"a": 1, "b": 2, "a (paper.csv)": 1, "c": 2}
    assert frame["external"].fillna("").to_dict() == {
        "a": "",
        "b": "",
        "a (paper.csv)": "paper.csv",
        "c": "paper.csv",
    }
    assert frame.columns[-1] == "linear/elpv"  # one column: same task, dataset and metric
    external = tidy(board).set_index("backbone")["external"].dropna()
    assert external.to_dict() == {"a (paper.csv)": "paper.csv", "c": "paper.csv"}
    assert "| c *(external)* |" in to_markdown(board)


def test_results_by_another_metric_are_another_column() -> None:
    measured = [record("a", 0.9, task=task(metrics=("top1",)))]
    table = "backbone,dataset,metric,value,task\nc,elpv,mrr,0.5,linear\n"
    (other,) = rename_clashes(measured, read_published(table, "paper.csv")[0])
    assert other.task.name == "linear: mrr"


# --- the command


def test_the_released_retrieval_table(bob: Bob, tmp_path: Path) -> None:
    """No measured records are needed. The first wins about 60 % of draws, so the top is tied."""
    code, out, _ = bob("leaderboard", "--external", MRR)
    assert code == 0
    assert "bob_retrieval_mrr.csv: published results of 33 backbones" in " ".join(out.split())
    frame = pd.read_csv(tmp_path / "results" / "ranking.csv")
    leading = ["backbone", "mean_z", "mean_rank", "mean_value", "win_share", "tie_group"]
    assert frame.columns[:6].tolist() == leading
    assert len(frame) == 33
    assert set(frame["external"]) == {"bob_retrieval_mrr.csv"}
    assert set(frame["pool"]) == {"33 backbones × 8 settings on 8 datasets"}
    top = frame.head(3)
    assert top["backbone"].tolist() == [
        FIRST,
        "timm-convnext_xlarge_in22ft1k",
        "timm-convnext_base_in22ft1k",
    ]
    assert top["mean_z"].round(3).tolist() == [1.015, 0.978, 0.961]
    assert top["mean_value"].round(4).tolist()[:2] == [0.7606, 0.7611]
    assert top["win_share"].iloc[0] == pytest.approx(0.60, abs=0.02)
    assert frame["win_share"].sum() == pytest.approx(1)
    assert top["tie_group"].tolist() == [1, 1, 1]
    mean_ranks = pd.read_csv(MRR, index_col=0).rank(ascending=False).mean(axis=1)
    assert frame.set_index("backbone")["mean_rank"].to_dict() == pytest.approx(mean_ranks.to_dict())
    # published results are never stored as records
    assert not RecordStore(tmp_path / "results").read_all()[0]
    assert FIRST in (tmp_path / "results" / "leaderboard.html").read_text()


def test_unreadable_tables_are_errors(bob: Bob, tmp_path: Path) -> None:
    latin, table, same_name = (
        tmp_path / "latin.csv",
        tmp_path / "t.csv",
        tmp_path / "other" / "t.csv",
    )
    latin.write_bytes("m,x\né,0.5\n".encode("latin-1"))
    same_name.parent.mkdir()
    same_name.write_text(WIDE)
    table.write_text(WIDE)
    for tables, message in [
        (["none.csv"], "'none.csv': cannot be read (No such file"),
        ([latin], "not UTF-8 text (byte 4)"),
        ([table, same_name], "another table is named 't.csv'; rename one"),
    ]:
        flags = [word for path in tables for word in ("--external", path)]
        code, _, err = bob("leaderboard", *flags)
        assert code == 2
        assert message in err


def test_roles_are_stated_in_python_as_well(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(OPEN_CLIP)
    frame = bob_package.leaderboard(
        tmp_path,
        external=[tmp_path / "t.csv"],
        external_columns=["name=name", "name=pretrained"],
    )
    assert set(frame["backbone"]) == {"ViT-B-32 openai", "ViT-B-32 laion2b"}


def test_a_role_of_a_column_that_no_table_has_is_an_error(bob: Bob, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("model,x\na,0.5\n")
    (tmp_path / "b.csv").write_text("arch,tag,x\na,s,0.5\n")
    flags = ["--external", tmp_path / "a.csv", "--external", tmp_path / "b.csv"]
    code, _, err = bob("leaderboard", *flags, "--external-column", "name=modle")
    assert code == 2
    assert "'name=modle': no table has a column of that name; did you mean 'model'?" in err
    # columns that some table has are used there
    roles = ["--external-column", "name=arch", "--external-column", "name=tag"]
    code, _, _ = bob("leaderboard", *flags, *roles)
    assert code == 0
    frame = pd.read_csv(tmp_path / "results" / "leaderboard.csv")
    assert set(frame["backbone"]) == {"a", "a s"}


def test_the_ranking_sentence_names_who_is_outside_the_pool(bob: Bob, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("m,x,y\na,0.5,0.5\nb,0.4,0.3\nlate,0.9,\n")
    code, out, _ = bob("leaderboard", "--external", tmp_path / "t.csv")
    assert code == 0
    text = " ".join(out.split())
    assert "Over 2 backbones × 2 settings on 2 datasets (t.csv), a has the highest" in text
    assert "Not ranked, because values are missing: late (missing: t/y)." in text


def test_files_without_a_ranked_backbone_are_removed(bob: Bob, tmp_path: Path) -> None:
    """A ranking with a header only would be read as a ranking of nothing."""
    store = RecordStore(tmp_path / "results")
    store.write(record("chance", 0.5, family="baseline"), {})
    stale = tmp_path / "results" / "ranking_by_task.csv"
    stale.write_text("task,backbone\nlinear,old\n")
    (tmp_path / "results" / "robustness.csv").write_text("task\nold\n")
    assert bob("leaderboard")[0] == 0
    names = {path.name for path in (tmp_path / "results").iterdir()}
    assert "leaderboard.csv" in names
    assert not names & {"ranking.csv", "ranking_by_task.csv", "robustness.csv"}


def test_a_table_of_two_hundred_columns_prints_a_bounded_text(bob: Bob, tmp_path: Path) -> None:
    """The tables fit the width, and lines too long for a terminal are those of notes."""
    header = ["model", *(f"benchmark {i} accuracy of zero-shot" for i in range(213))]
    rows = [[f"backbone_{j}", *["0.5"] * 213] for j in range(30)]
    (tmp_path / "wide.csv").write_text("\n".join(map(",".join, [header, *rows])))
    code, out, _ = bob("leaderboard", "--external", tmp_path / "wide.csv")
    assert code == 0
    assert len(out.encode()) < 40_000
    assert "Not shown:" in out
    assert max(len(line) for line in out.splitlines() if "│" in line) <= 200


def test_published_dense_scores_are_of_registered_datasets() -> None:
    """DINOv2's tables in the docs: five columns, of which mean IoU is in fractions."""
    path = Path(__file__).parents[2] / "docs" / "explanation" / "published_dense.csv"
    records, _ = read_published(path.read_text(), path.name)
    values = {
        (record.backbone_name, record.dataset_name): record.scores[0].value for record in records
    }
    assert len(values) == 40 and {name for _, name in values} <= set(load_registry().datasets)
    assert values["DINOv2 S/14", "ade20k"] == 0.443
    assert values["OpenCLIP G/14", "kitti_depth"] == 3.57
