"""What the kernel says: sync rate of the disk, CPU and memory of process trees, sizes of files, flushes.

A process tree is named by the process id of its root. CPU counts children that have ended as well, as far as their
parents have waited for them; it has the resolution of the kernel's clock tick (10 ms)."""
import os
import platform
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
FLUSHES = ("fsync", "fdatasync", "sync_file_range", "msync", "syncfs")
WRITES = ("write", "writev", "pwrite64", "pwritev", "pwritev2")


def sync_rate(folder, seconds=1.0):
    """Overwrites of one preallocated block of 4 KiB, each made durable: rate, p50, p99 (microseconds)."""
    path, block, took = Path(folder) / "sync-rate", os.urandom(4096), []
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.pwrite(fd, block, 0)
        os.fsync(fd)
        end = time.perf_counter() + seconds
        while not took or time.perf_counter() < end:
            start = time.perf_counter()
            os.pwrite(fd, block, 0)
            os.fdatasync(fd)
            took.append(time.perf_counter() - start)
    finally:
        os.close(fd)
        path.unlink()
    total = sum(took)
    took.sort()
    return {"per_s": len(took) / total, "p50_us": took[len(took) // 2] * 1e6, "p99_us": took[len(took) * 99 // 100] * 1e6}


def _stat(pid):
    """Fields of /proc/PID/stat after the name, or None: [0] state, [1] parent, [11] utime, ..."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text[text.rindex(")") + 2:].split()


def tree(root):
    """Process ids of root and everything below it."""
    below = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _stat(name)
            if fields:
                below.setdefault(int(fields[1]), []).append(int(name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        if os.path.exists(f"/proc/{pid}"):
            found.append(pid)
        todo += below.get(pid, [])
    return found


def cpu_s(root, fields=(11, 12, 13, 14)):
    """CPU seconds of a tree: user and system, children that ended included."""
    ticks = 0
    for pid in tree(root):
        stat = _stat(pid)
        if stat:
            ticks += sum(int(stat[f]) for f in fields)
    return ticks / TICK


def system_s(root):
    """What of it the kernel used."""
    return cpu_s(root, (12, 14))


def memory_mb(root):
    """(RSS, PSS) of a tree in MB. RSS counts shared pages once for each process, PSS once."""
    rss = pss = 0
    for pid in tree(root):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        rss += int(re.search(r"^Rss:\s+(\d+)", text, re.M).group(1))
        pss += int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))
    return rss * 1024 / 1e6, pss * 1024 / 1e6


def wait_quiet(root, limit_s=40.0):
    """Wait until start-up work has ended: less than 3 % of a core for a second. The seconds waited."""
    start = time.monotonic()
    last, quiet = cpu_s(root), 0
    while quiet < 2 and time.monotonic() - start < limit_s:
        time.sleep(0.5)
        now = cpu_s(root)
        quiet = quiet + 1 if now - last <= 0.015 else 0
        last = now
    return time.monotonic() - start


def folder_bytes(folder):
    """Bytes of all files below a folder."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(base, name)).st_size
            except OSError:
                pass
    return total


def describe():
    """The machine in words and numbers."""
    info = {"kernel": platform.release(), "cpus": os.cpu_count(), "arch": platform.machine()}
    cpu = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    info["cpu"] = cpu.group(1) if cpu else "?"
    info["memory_gb"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)
    info["load_before"] = [round(x, 2) for x in os.getloadavg()]
    try:
        release = re.search(r'^PRETTY_NAME="(.*)"', Path("/etc/os-release").read_text(), re.M)
        info["system"] = release.group(1)
    except (OSError, AttributeError):
        info["system"] = "?"
    return info


class Flushes:
    """Counts flushes of process trees while it is open, with strace. Counted: fsync, fdatasync, sync_file_range, msync,
    syncfs, and writes to descriptors that were opened with O_SYNC or O_DSYNC. `count` is None where strace is missing or
    may not trace."""

    def __init__(self, roots, folder):
        self.roots, self.log = roots, Path(folder) / "flushes.strace"
        self.count, self.calls, self.process = None, {}, None

    @staticmethod
    def _synchronous(pids):
        """Paths of descriptors whose writes are synchronous."""
        paths = set()
        for pid in pids:
            try:
                for fd in os.listdir(f"/proc/{pid}/fdinfo"):
                    flags = re.search(r"^flags:\s+(\d+)", Path(f"/proc/{pid}/fdinfo/{fd}").read_text(), re.M)
                    if flags and int(flags.group(1), 8) & 0o4010000:
                        paths.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
            except OSError:
                pass
        return {p for p in paths if p.startswith("/") and not p.startswith(("/dev/", "/proc/"))}

    def __enter__(self):
        if not shutil.which("strace"):
            return self
        pids = [pid for root in self.roots for pid in tree(root)]
        self.paths = self._synchronous(pids)
        calls = FLUSHES + (WRITES if self.paths else ())
        argv = ["strace", "-f", "-y", "-s", "0", "-o", self.log, "-e", "trace=" + ",".join(calls)]
        for pid in pids:
            argv += ["-p", str(pid)]
        errors = self.log.with_suffix(".err")
        with open(errors, "wb") as err:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=err, stderr=err)
        end = time.monotonic() + 10  # it says so when it is attached to each
        while time.monotonic() < end and self.process.poll() is None:
            if errors.read_text().count("attached") >= len(pids):
                break
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        if not self.process:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if not self.log.exists():
            return
        for line in self.log.read_text(errors="replace").splitlines():
            call = re.match(r"\d+\s+(\w+)\((?:\d+<([^>]*)>)?", line)
            if call and (call.group(1) in FLUSHES or call.group(2) in self.paths):
                self.calls[call.group(1)] = self.calls.get(call.group(1), 0) + 1
        self.count = sum(self.calls.values())
