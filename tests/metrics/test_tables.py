"""Tables as people's programs write them: the last row is the last row, and an older one never stands in."""

import time
from pathlib import Path

import pytest

from ardaemon.core.model import Count, Primary
from ardaemon.metrics.base import Query, Readings
from ardaemon.metrics.csv_rows import CSV, HELD_MAX
from ardaemon.metrics.formats.growing import LINE_MAX
from ardaemon.metrics.rows_file import WRITTEN_AT_ONCE
from tests.support import attempt
from tests.support.every import every


def read(folder: Path, text: str | bytes, name: str = "val_loss", count: Count = "last") -> Readings:
    data = text if isinstance(text, bytes) else text.encode()
    (folder / "metrics.csv").write_bytes(data)
    return CSV.read(attempt.evidence(folder, folder), Query(Primary(name), count=count))


# What stands in each file, and the value of its last row.
READ = {
    "pandas' index": (",epoch,val_loss\n0,1,0.8\n1,2,0.6\n", 0.6),
    "R's index": ('"","epoch","val_loss"\n"1",1,0.8\n"2",2,0.6\n', 0.6),
    "a comma at each end": ("epoch,val_loss,\n1,0.8,\n2,0.6,\n", 0.6),
    "a comma at the rows' ends": ("epoch,val_loss\n1,0.8,\n2,0.6,\n", 0.6),
    "a comma at the header's end": ("epoch,val_loss,\n1,0.8\n2,0.6\n", 0.6),
    "a column for each class": ("epoch,val_loss,0,1,2\n0,0.8,1,1,1\n1,0.6,1,1,1\n", 0.6),
    "classes alone beside it": ("val_loss,0\n0.8,1\n0.6,1\n", 0.6),
    "more classes later": ("val_loss,0\n0.8,1\nval_loss,0,1\n0.6,1,1\n", 0.6),
    "a line of text": ("epoch,val_loss\n1,0.8\nCheckpoint saved\n2,0.6\n", 0.6),
    "a line of text with a comma": ("epoch,val_loss\n1,0.8\nSaved to disk, going on\n2,0.6\n", 0.6),
    "a word": ("epoch,val_loss\n1,0.8\ndone\n2,0.6\n", 0.6),
    "text at the end": ("epoch,val_loss\n1,0.6\nTraining has ended\n", 0.6),
    "text before the header": ("Results of run 5\nepoch,val_loss\n1,0.6\n", 0.6),
    "text of three parts": ("epoch,val_loss\n1,0.8\nsaved,best,last\n2,0.6\n", 0.6),
    "a line of dashes": ("epoch,val_loss\n-----,--------\n1,0.8\n-----,--------\n2,0.6\n", 0.6),
    "a first column of words and numbers": ("run,val_loss\n7,0.7\na,0.6\n", 0.6),
    "the header again": ("epoch,val_loss\n1,0.8\nepoch,val_loss\n1,0.7\n2,0.6\n", 0.6),
    "the header with one more": ("epoch,val_loss\n1,0.8\nepoch,lr,val_loss\n2,0.1,0.6\n", 0.6),
    "the columns changed places": ("epoch,val_loss\n1,0.8\nval_loss,epoch\n0.6,2\n", 0.6),
    "other columns later": ("epoch,val_loss\n1,0.6\nepoch,test_loss\n1,0.9\n", 0.6),
    "other columns before": ("a,b\n1,2\nepoch,val_loss\n1,0.6\n", 0.6),
    "comments": ("# run 5, lr=0.1\nepoch,val_loss\n1,0.8\n# 9,0.1\n2,0.6\n# end\n", 0.6),
    "numpy.savetxt": ("# epoch,val_loss\n1.0e+00,8.0e-01\n2.0e+00,6.0e-01\n", 0.6),
    "a column named #": ("#,val_loss\n1,0.8\n2,0.6\n", 0.6),
    "a cell over two lines": ('epoch,note,val_loss\n1,"warm\nup",0.8\n2,"a\n9,9,9\nb",0.6\n', 0.6),
    "quotes in a cell": ('note,val_loss\n"say ""so"", 1",0.8\n5" disk,0.6\n', 0.6),
    "a quote that is never closed": ('note,val_loss\n"a,0.8\nb,0.7\nc,0.6\n', 0.6),
    "per cent": ("epoch,val_loss\n1,91.2%\n2,93.1 %\n", 93.1),
    "thousands": ('epoch,val_loss\n1,"1,234,567.5"\n', 1234567.5),
    "thousands of two groups": ('epoch,val_loss\n1,"1,234.5"\n', 1234.5),
    "a tensor": ("epoch,val_loss\n1,tensor(0.6)\n", 0.6),
    "a tensor on a GPU": ("epoch,val_loss\n1,\"tensor(0.6000, device='cuda:0')\"\n", 0.6),
    "a scalar of numpy": ("epoch,val_loss\n1,np.float64(0.6)\n", 0.6),
    "nothing measured last": ("epoch,val_loss\n1,0.6\n2,\n3,None\n4,N/A\n5,<NA>\n6,-\n", 0.6),
    "semicolons": ("epoch;val_loss\n1;0.6\n", 0.6),
    "semicolons, and a comma in a name": ('epoch;"a,b,c";val_loss\n1;2;0.6\n', 0.6),
    "tabs": ("epoch\tval_loss\n1\t0.6\n", 0.6),
    "Excel": ("\ufeffsep=;\r\nepoch;val_loss\r\n1;0.6\r\n", 0.6),
    "a mark of UTF-8": ("\ufeffval_loss,epoch\n0.6,1\n", 0.6),
    "line ends of old Macs": ("epoch,val_loss\r1,0.8\r2,0.6\r", 0.6),
    "empty lines": ("\n\nepoch,val_loss\n\n1,0.8\n\n2,0.6\n\n", 0.6),
    "no line end": ("epoch,val_loss\n1,0.8\n2,0.6", 0.6),
    "a hole before it": (b"\0" * 50 + b"epoch,val_loss\n1,0.6\n", 0.6),
    "bytes of another encoding": (b"epoch,pr\xe9cision,val_loss\n1,0.9,0.6\n", 0.6),
    "spaces": (" epoch , val_loss \n 1 , 0.6 \n", 0.6),
    "full-width letters": ("epoch,ｖａｌ＿ｌｏｓｓ\n1,０.６\n", 0.6),
    "text beside it": ("time,val_loss,tag\n12:30:01,0.8,a\n12:31:01,0.6,b\n", 0.6),
    "dates alone beside it": ("date,val_loss\n2026-11-27,0.8\n2026-11-28,0.6\n", 0.6),
    "rows of one part": ("epoch,split,val_loss\n1,val,0.8\n2,val,0.6\n", 0.6),
    "rows of another part without it": ("split,lr,val_loss\nval,,0.6\ntrain,0.1,\n", 0.6),
    "a column of words that sum up": ("pooling,val_loss\nmean,0.8\nmean,0.6\n", 0.6),
    "a mark beside the best rows": ("epoch,mark,val_loss\n1,best,0.7\n2,worse,0.8\n3,best,0.6\n", 0.6),
    "one column": ("val_loss\n0.8\n0.6\n", 0.6),
    "its name in a cell too": ("watched,val_loss\nval_loss,0.8\nval_loss,0.6\n", 0.6),
}


@every("text, value", READ.values(), ids=READ)
def test_a_table_is_read_to_its_last_row(tmp_path: Path, text: str | bytes, value: float) -> None:
    assert read(tmp_path, text).value == value


# What stands in each file, and a part of what is said of it.
UNREAD = {
    "a row that is cut": ("val_loss,a\n0.5,1\n0.4", "line 3 of metrics.csv has 1 cells, and its header 2"),
    "a row that is too long": ("val_loss,a\n0.5,1\n1,2,3\n", "line 3 of metrics.csv has 3 cells"),
    "R without a name for its index": ('"epoch","val_loss"\n"1",1,0.8\n', "has 3 cells, and its header 2"),
    "a quote left open at the end": ('val_loss,a\n0.5,1\n"0.4,2\n', "has a quote that is never closed"),
    "a decimal comma": ("epoch;val_loss\n1;0,8\n2;0,6\n", "has '0,6', a decimal comma: write a point"),
    "a decimal comma in quotes": ('epoch,val_loss\n1,"0,6"\n', "has '0,6', a decimal comma"),
    "a decimal comma, and points": ("epoch;val_loss\n1;1.234,5\n", "has '1.234,5', a decimal comma"),
    "a decimal comma in one column": ("val_loss\n0,8\n", "has 2 cells, and its header 1"),
    "a comma of either kind": ('epoch,val_loss\n1,"1,234"\n', "may be a thousand or have a decimal comma"),
    "a unit": ("epoch,val_loss\n1,0.5\n2,12.3ms\n", "line 3 of metrics.csv has '12.3ms', which is no number"),
    "a unit in a row without numbers": ("tag,val_loss\na,0.5\nb,12ms\n", "has '12ms', which is no number"),
    "words": ("epoch,val_loss\n1,0.5\n2,failed\n", "has 'failed', which is no number"),
    "a row that sums up": (
        "epoch,val_loss\n1,0.8\n2,0.6\nmean,0.7\n",
        "line 4 of metrics.csv begins with 'mean'",
    ),
    "a best row": (
        ",epoch,val_loss\n0,1,0.5\n1,2,0.6\nbest,1,0.5\n",
        "begins with 'best', where rows before it",
    ),
    "a row that sums up, in a column further on": (
        "lr,val_loss,epoch\n0.1,0.7,1\n0.1,0.5,2\n0.1,0.6,mean\n",
        "line 4 of metrics.csv has 'mean', where rows before it have a number",
    ),
    "rows that sum up seeds": ("seed,val_loss\n0,0.7\n1,0.5\navg,0.6\n", "has 'avg', where rows before it"),
    "the best row again": (
        "epoch,tag,val_loss\n1,last,0.4\n2,last,0.5\n1,best,0.4\n",
        "line 4 of metrics.csv has 'best', and a count that does not go on",
    ),
    "rows of two parts of the data": (
        "epoch,split,val_loss\n1,val,0.5\n1,train,0.3\n2,val,0.4\n",
        "line 4 of metrics.csv stands among rows of 'val' and of 'train': give each its own name",
    ),
    "a list": ('epoch,val_loss\n1,0.5\n2,"[0.4]"\n', "has '[0.4]', which is no number"),
    "a truth value": ("epoch,val_loss\n1,0.5\n2,True\n", "has 'True', which is no number"),
    "what may be a header": (
        "epoch,val_loss\n1,0.5\nbatch,lr\n1,0.1\n",
        "below 'batch,lr', which may be a header",
    ),
    "a row of words": ("tag,val_loss\na,0.5\nb,oops\n", "has no number"),
    "two columns of its name": ("val_loss,val_loss\n0.5,0.6\n", "has 2 columns of that name above it"),
    "not a number": ("epoch,val_loss\n1,0.5\n2,nan\n", "val_loss is nan at its last value"),
    "minus nan, as C prints it": ("epoch,val_loss\n1,0.5\n2,-nan\n", "val_loss is nan at its last value"),
    "beyond all floats": ("epoch,val_loss\n1,0.5\n2,1e400\n", "val_loss is inf at its last value"),
    "a line without end": (
        "epoch,val_loss\n1,0.5\n2," + "9" * LINE_MAX,
        "line 3 of metrics.csv has more than 1 MiB",
    ),
    "a header alone": ("epoch,val_loss\n", "val_loss was never reported"),
    "no header": ("1,0.5\n2,0.4\n", "2 lines of metrics.csv cannot be read as rows"),
    "UTF-16": ("epoch,val_loss\n1,0.5\n".encode("utf-16"), "metrics.csv is in UTF-16: write it in UTF-8"),
    "gzip": (b"\x1f\x8b\x08\0\0\0\0\0", "metrics.csv is compressed (gzip)"),
    "a table with a row for each metric": (
        "step,metric,value\n1,val_loss,0.5\n",
        "val_loss is a cell of rows, and no column: write a column for each metric, not a row",
    ),
    "nothing": ("", "val_loss was never reported"),
}


@every("text, why", UNREAD.values(), ids=UNREAD)
def test_where_the_last_row_cannot_be_read_no_older_one_counts_and_the_answer_says_why(
    tmp_path: Path, text: str | bytes, why: str
) -> None:
    readings = read(tmp_path, text)
    assert readings.value is None
    assert why in str(readings.problem)


def test_a_number_that_may_be_cut_at_the_edge_of_a_buffer_does_not_count(tmp_path: Path) -> None:
    """As os._exit() leaves a file: its writer had written blocks alone."""
    text = "epoch,val_loss\n" + "1,0.50000\n" * 2000
    assert text[WRITTEN_AT_ONCE - 1] != "\n"
    assert "may be cut" in str(read(tmp_path, text[:WRITTEN_AT_ONCE]).problem)
    assert read(tmp_path, text[: WRITTEN_AT_ONCE + 1]).value is not None


def test_a_quote_that_is_never_closed_is_given_up_soon(tmp_path: Path) -> None:
    rows = "".join(f"{at},0.5\n" for at in range(HELD_MAX // 6))
    readings = read(tmp_path, 'note,val_loss\n"a,0.8\n' + rows + "z,0.6\n")
    assert (readings.value, readings.problem) == (0.6, "1 lines of metrics.csv cannot be read as rows")


def test_quotes_without_end_take_linear_time(tmp_path: Path) -> None:
    begun = time.process_time()
    assert read(tmp_path, "note,val_loss\n" + '"a""\n' * 20_000 + "z,0.6\n").value == 0.6
    assert time.process_time() - begun < 20  # as the square of the lines it would be hours


def test_where_the_best_counts_a_row_that_cannot_be_read_takes_nothing_away(tmp_path: Path) -> None:
    readings = read(tmp_path, "epoch,val_loss\n1,0.5\n2,oops\n", count="best")
    assert readings.value == 0.5


@pytest.mark.parametrize("name", ["mAP@[0.5:0.95]", "lm loss value", "loss, val", "PSNR↑", "it's"])
def test_columns_have_names_as_frameworks_write_them(tmp_path: Path, name: str) -> None:
    header = f'epoch,"{name}"' if "," in name else f"epoch,{name}"
    assert read(tmp_path, f"{header}\n1,0.6\n", name).value == 0.6
