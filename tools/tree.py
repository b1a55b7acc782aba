"""What the check scripts share: which files there are, and C text without comments and literals."""
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def files(*suffixes, under=("src", "tests", "bench", "fuzz"), generated=False):
    """Paths relative to the root, sorted: tracked files, and new ones that git does not ignore."""
    try:
        out = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        names = out.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):  # a source archive
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*")
                 if not {".git", "build", ".cache", "demo-data", "__pycache__"} & set(p.relative_to(ROOT).parts)]
    found = []
    for name in sorted(set(filter(None, names))):
        if under and not name.startswith(tuple(u + "/" for u in under)):
            continue
        if suffixes and not name.endswith(suffixes):
            continue
        if not generated and name.startswith("src/gen/"):
            continue
        if (ROOT / name).is_file():
            found.append(name)
    return found


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


_TOKENS = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code_only(source):
    """The source with comments and literals blanked; line numbers stay."""
    return _TOKENS.sub(lambda m: '""' + "\n" * m.group().count("\n") if m.group()[0] in "\"'"
                       else " " + "\n" * m.group().count("\n"), source)


def report(check, problems, looked_at):
    """Print what was found; the exit code."""
    for line in problems:
        print(line)
    print(f"{check}: {looked_at} files, {len(problems)} problems")
    return 1 if problems else 0
