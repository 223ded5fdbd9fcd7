import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from synthweb.bootstrap import ROOT
from tests.servers.waiting import wait_until

# A supervisor of two plain children: what they are does not matter to it.
PROGRAM = """
    import sys
    from pathlib import Path
    from synthweb.children import Child
    from synthweb.supervisor import Supervisor
    logs = Path(sys.argv[1])
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)", "marker-" + sys.argv[2]]
    deaf = [
        sys.executable, "-c",
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('deaf', flush=True); time.sleep(600)",
        "marker-" + sys.argv[2],
    ]
    children = [Child("first", sleeper), Child("second", deaf if "deaf" in sys.argv else sleeper)]
    if "once" in sys.argv:
        children.append(Child("once", [sys.executable, "-c", "pass"], once=True))
    Supervisor(children, logs).run(ready=lambda: print("ready", flush=True))
    print("stopped", flush=True)
"""


class Started:
    def __init__(self, directory: Path, *words: str) -> None:
        self.mark = f"marker-{directory.name}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), directory, directory.name, *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        wait_until(lambda: len(self.children()) == 2, "both children")

    def children(self) -> list[psutil.Process]:
        """Living processes of this test, wherever they hang in the tree."""
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            command = process.info["cmdline"] or []
            dead = process.info["status"] == psutil.STATUS_ZOMBIE
            is_child = command[-1:] == [self.mark] and "parent.py" not in " ".join(command)
            if is_child and not dead:
                found.append(process)
        return found


@pytest.fixture
def start(tmp_path):
    started = []

    def run(*words: str) -> Started:
        started.append(Started(tmp_path, *words))
        return started[-1]

    yield run
    for each in started:
        each.process.kill()
        each.process.wait()
        for child in each.children():
            child.kill()


def test_a_killed_child_comes_back(start):
    supervisor = start()
    before = {child.pid for child in supervisor.children()}
    victim = supervisor.children()[0]
    victim.kill()
    wait_until(lambda: len({c.pid for c in supervisor.children()} | before) == 3, "a new child")
    wait_until(lambda: len(supervisor.children()) == 2, "two children")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_leaves_no_process(start, signum):
    supervisor = start()
    supervisor.process.send_signal(signum)
    assert supervisor.process.wait(5) == 0
    assert supervisor.children() == []


@pytest.mark.slow
def test_a_child_that_ignores_sigterm_is_killed_in_the_end(start, tmp_path):
    supervisor = start("deaf")
    wait_until(lambda: "deaf" in (tmp_path / "second.log").read_text(), "the deaf child")
    supervisor.process.send_signal(signal.SIGTERM)
    assert supervisor.process.wait(25) == 0
    assert supervisor.children() == []


def test_sigkill_of_the_supervisor_takes_the_children_down(start):
    supervisor = start()
    supervisor.process.kill()
    wait_until(lambda: not supervisor.children(), "the children's end", 5)


def test_a_one_shot_runs_once(start, tmp_path):
    supervisor = start("once")
    wait_until((tmp_path / "once.log").exists, "the one-shot's start")
    supervisor.process.send_signal(signal.SIGTERM)
    out, _ = supervisor.process.communicate(timeout=5)
    assert out == "stopped\n"  # not a word about restarts


def test_the_pause_doubles_up_to_half_a_minute(tmp_path):
    from synthweb.children import Child
    from synthweb.supervisor import Running

    running = Running(Child("broken", [sys.executable, "-c", "raise SystemExit(3)"]), tmp_path)
    pauses = []
    for _ in range(9):
        running.start()
        assert running.process is not None
        running.process.wait(10)
        sentence = running.note_death()
        assert "exit code 3" in sentence
        pauses.append(float(sentence.split(" s. ")[0].rsplit(" ", 1)[1]))
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_children_are_out_of_reach_of_the_terminals_ctrl_c(start):
    supervisor = start()
    assert all(os.getsid(child.pid) == child.pid for child in supervisor.children())
