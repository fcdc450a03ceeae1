"""Count clauses in which "what" or "who" stands in for a name, in docs and comments.

"What TLS has read ahead no event tells of" has to be read twice; "data buffered inside TLS raises
no event" does not. Such clauses are counted in 1,000 words: in docs/ and README.md, and in the
comments and docstrings of src/ and gunicorn/. The rates may fall and not rise: LIMITS has those of
today. A "who" directly behind the person that it belongs to ("a client who ...") is not counted,
nor is a question, nor text that is marked as code.

Arguments are parts of paths, whose clauses are printed; those of all files when a limit is passed.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: Clauses in 1,000 words.
LIMITS = {"docs": 0.5, "comments": 1.4}

PERSONS = "user|client|reader|operator|administrator|developer|maintainer|contributor|attacker"
STAND_IN = re.compile(r'(?<!")\b(?:what(?! to\b)|whatever|whoever|whom|who)\b(?!")', re.IGNORECASE)
WITH_PERSON = re.compile(rf"\b(?:(?:{PERSONS})s?|people|person),? $", re.IGNORECASE)
WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")

C_COMMENT = re.compile(r"/\*(.*?)\*/|//([^\n]*)|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
MARKDOWN_CODE = re.compile(r"^```.*?^```|^(?: {4}|\t)[^\n]*|`[^`]*`", re.DOTALL | re.MULTILINE)
PYTHON_CODE = re.compile(r"``[^`]*``|`[^`]*`")


def text_of_markdown(path: Path) -> str:
    """Return the prose of a page."""
    return MARKDOWN_CODE.sub("CODE", path.read_text())


def text_of_c(path: Path) -> str:
    """Return the comments of a source file or header."""
    parts = [match[1] or match[2] or "" for match in C_COMMENT.finditer(path.read_text())]
    return "\n\n".join(re.sub(r"\n\s*\* ?", "\n", part) for part in parts)


def text_of_python(path: Path) -> str:
    """Return the docstrings and the comments of a module."""
    source = path.read_text()
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    parts = [
        ast.get_docstring(node) or ""
        for node in ast.walk(ast.parse(source))
        if isinstance(node, documented)
    ]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            parts.append(token.string.lstrip("#: "))
    return PYTHON_CODE.sub("CODE", "\n\n".join(parts))


def stand_ins(text: str) -> Iterator[str]:
    """Yield the words around each clause that counts."""
    text = re.sub(r"[ \t]*\n[ \t]*(?!\n)", " ", text)
    for match in STAND_IN.finditer(text):
        if WITH_PERSON.search(text, 0, match.start()):
            continue
        if re.match(r"[^.;:!|]*\?", text[match.end() :]):
            continue
        yield text[max(0, match.start() - 30) : match.end() + 40].strip()


def files_of(part: str) -> list[tuple[Path, str]]:
    """Return the files that belong to a part, each with its text."""
    if part == "docs":
        pages = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
        return [(path, text_of_markdown(path)) for path in pages]
    sources = [(path, text_of_c(path)) for path in sorted((ROOT / "src").rglob("*.[ch]"))]
    modules = sorted((ROOT / "gunicorn").rglob("*.py"))
    return sources + [(path, text_of_python(path)) for path in modules]


def rate(files: list[tuple[Path, str]]) -> float:
    """Return the clauses in 1,000 words of all the files together."""
    words = sum(len(WORD.findall(text)) for _, text in files)
    return 1000 * sum(1 for _, text in files for _ in stand_ins(text)) / max(words, 1)


def print_files(files: list[tuple[Path, str]]) -> None:
    """Print the clauses of each file that has some, below its count."""
    for path, text in files:
        found = list(stand_ins(text))
        if found:
            words = len(WORD.findall(text))
            print(f"{path.relative_to(ROOT)}: {len(found)} in {words} words")
            print("".join(f"    ...{clause}...\n" for clause in found), end="")


def main() -> int:
    """Check both parts; print the clauses of a part above its limit, and of the paths given."""
    status = 0
    for part, limit in LIMITS.items():
        files = files_of(part)
        found = rate(files)
        if found > limit:
            status = 1
        asked = [file for file in files if any(name in str(file[0]) for name in sys.argv[1:])]
        print_files(files if status and not sys.argv[1:] else asked)
        print(f"words: {part}: {found:.2f} clauses with what or who a thousand (limit {limit})")
    return status


if __name__ == "__main__":
    sys.exit(main())
