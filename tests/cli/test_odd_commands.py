"""Odd command lines: one sentence and exit code 2, before anything long begins."""

import os
import shlex

import numpy as np
import pytest

from spectrax.cli import main

HUGE = "99999999999999999999"

ODD = f"""
solve --seed -1
solve --seed {HUGE}
solve --seed 1.5
solve --num-classes 2 --teacher-gram [[1,0],[0]]
solve --num-classes 2 --teacher-gram [[1,null],[0,1]]
solve --num-classes 2 --teacher-gram '[[1,"a"],[0,1]]'
solve --num-classes 2 --teacher-gram [[1,[2]],[0,1]]
solve --num-classes 2 --teacher-gram [[NaN,0],[0,1]]
solve --num-classes 2 --teacher-gram [[1e400,0],[0,1]]
solve --num-classes 2 --teacher-gram [[1,2],[2,1]]
solve --teacher-gram []
solve --teacher-gram [[]]
solve --teacher-gram {{}}
solve --teacher-gram [[[1]]]
solve --teacher-gram ''
solve --nu 1e308
solve --nu 1e-308
solve --nu inf
solve --nu ''
solve --nu 0x10
solve --alpha 1e-320
solve --eta ,
solve --eta 0.1,
solve --eta 0.1,nan --num-steps 2
solve --eta -1
solve --eta 1e308
solve --gamma0 0
solve --sigma 1e200
solve --sigma 1e-308
solve --label-noise nan
solve --label-noise 1e308
solve --momentum 1
solve --weight-decay -1
solve --depth {HUGE}
solve --depth 20000
solve --depth 1e3
solve --num-steps {HUGE}
solve --num-steps 1000000
solve --num-classes {HUGE}
solve --num-classes 1000000
solve --count {HUGE}
solve --simulate {HUGE}
solve --simulate 10000000
solve --simulate 8 --nu 1e12
solve --simulate 2 --nu 0.001
solve --simulate 2 --seeds {HUGE}
solve --parameterization 1,2,3
solve --parameterization nan,nan
solve --parameterization ,
solve --data µ
solve --out ''
solve --out /dev/null
solve --out /dev/full/x
solve --out odd.csv
solve --out odd.csv/x
solve --out loop/x
solve --out {"A" * 300}
solve --out
solve --
solve ''
solve µ
solve --eta=
solve --=3
solve -x
solve --n 3
solve --json=1
solve wide --seed -1
solve wide --depth {HUGE}
solve wide --num-steps {HUGE}
solve wide --num-steps 1000000
solve wide --neurons {HUGE}
solve wide --samples {HUGE}
solve wide --samples 1000000 --dimension 1000000
solve wide --activation __class__
solve wide --loss huber
solve wide --eta 0.1,0.2
solve wide --gamma0 inf
solve wide --data x.npy
solve wide --data none.npz
solve wide --data folder.npz
solve wide --data ''
solve wide --data loop
solve wide --data pipe
solve wide --data /dev/zero
solve wide --data scalar.npz
solve wide --data objects.npz
solve wide --data half.npz
solve wide --data odd.csv
solve outputs --nu 1e308
solve outputs --omega 0
solve outputs --kappa0 inf
solve outputs --kappa0 0 --sigma 0
solve outputs --sigma -1
solve outputs --gamma0 0
solve outputs --samples -1
solve outputs --steps 3
solve outputs --steps 2
solve outputs --depth {HUGE}
solve outputs --depth 3 --layer 5
solve outputs --points {HUGE}
solve outputs --points 1000000000
solve outputs --simulate 10000000
solve outputs --seed -1
solve nothing
solve wide outputs
transfer --table none.csv
transfer --table folder.npz
transfer --table latin.csv
transfer --table nul.csv
transfer --table field.csv
transfer --table large.csv
transfer --table huge.csv
transfer --table header.csv
transfer --table x.npy
transfer --table loop
transfer --table odd.csv --from 1:2
transfer --table odd.csv --at nan
transfer --from 512:0.01
transfer --from 512 --at 3
transfer --from 512:0 --at 3
transfer --from 1e308:0.01 --at 1
transfer --from : --at 4
transfer --widths 1
transfer --widths 1,1
transfer --widths 0,2
transfer --widths 1,1e308
transfer --widths 1,,2
transfer --depth {HUGE}
transfer --num-steps 1000000
transfer --sigma 1e308
transfer --data x
transfer --at 0
transfer --out odd.csv
transfer extra
spectrum
spectrum ''
spectrum none.npz
spectrum folder.npz
spectrum loop
spectrum x.npy
spectrum half.npz
spectrum odd.csv
spectrum objects.npz
spectrum scalar.npz
spectrum weights.npz --min-size {HUGE}
spectrum weights.npz --rate 0
spectrum weights.npz --rate nan
spectrum weights.npz --steps 1,2
spectrum weights.npz --steps nan
spectrum weights.npz --pattern [
spectrum weights.npz --heads 0
spectrum weights.npz --out odd.csv
spectrum weights.npz --out ''
figure none
figure ../x
figure ''
figure a b c
--nonsense
nothing
''
-h5
""".strip().splitlines()


@pytest.fixture
def odd_files(tmp_path, monkeypatch):
    """A folder of files that are not what their names say."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.ones((3, 4)))
    np.savez("scalar.npz", inputs=np.array(3.0), targets=np.array(1.0))
    np.savez("objects.npz", inputs=np.array([None, 1]), targets=np.ones(2))
    np.savez("weights.npz", w=np.random.default_rng(0).normal(size=(40, 48)))
    content = (tmp_path / "weights.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(content[: len(content) // 2])
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo("pipe")
    head = "width,lr,loss\n"
    tables = {
        "odd": "hello",
        "nul": f"{head}1,\0,3\n",
        "field": head + "1" * 200_000 + ",2,3\n",
        "large": f"{head}1e308,1,1\n2,1,1\n",
        "huge": head + "".join(f"{w},{lr},{lr}e200\n" for w in (1, 2) for lr in (1, 2, 4)),
        "header": head,
    }
    for name, text in tables.items():
        (tmp_path / f"{name}.csv").write_text(text)
    (tmp_path / "latin.csv").write_bytes("größe;lr;loss\n1;2;3\n".encode("latin1"))


def test_odd_command_lines_are_one_sentence(odd_files, capsys):
    before, wrong = sorted(os.listdir()), []
    for line in ODD:
        code = main([*shlex.split(line)])
        out, err = capsys.readouterr()
        sentence = err.startswith("spectrax: ") and err.endswith((".\n", "?\n"))
        if code != 2 or out or err.count("\n") != 1 or not sentence or len(err) > 500:
            wrong.append((line, code, out, err))
    assert not wrong
    assert len(ODD) > 150
    assert set(os.listdir()) - set(before) <= {"spectrax-results"}
