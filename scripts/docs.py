"""Writes the tables of the docs from what they describe (`make docs`); `--check` fails on a stale one.

Each table is between `<!-- generated: NAME -->` and `<!-- end -->`. The registry's fields come from its schema,
Terraform's inputs and outputs from its files, the commands from `modelctl` itself, and costs from cost_tables.py. The
values on the page of the module `registry` come from Terraform's console.
"""

import argparse
import json
import re
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import hcl2

import cost_tables
from modelctl import cli, console, paths, runtimes
from modelctl.registry.validation import ask
from modelctl.terraform import races

#: The page of each table.
TABLES = {
    "registry": paths.DOCS / "reference.md",
    "terraform": paths.DOCS / "reference.md",
    "commands": paths.DOCS / "reference.md",
    "races": paths.DOCS / "operations.md",
    **dict.fromkeys((f"costs: {name}" for name in cost_tables.TABLES), paths.DOCS / "costs.md"),
}
# The parser keeps the quotes of a string.
ESCAPED = '\\"'
SCHEMA = paths.TERRAFORM / "modules" / "registry" / "model_registry.schema.json"
REGISTRY_PAGE = SCHEMA.with_name("README.md")
ONE_MODEL = paths.CHECKOUT / "tests" / "registries" / "valid" / "one_model.yaml"


def main() -> int:
    """Write the tables and values; with `--check`, only report whether they are up to date."""
    check = sys.argv[1:] == ["--check"]
    pages = {page: page.read_text(encoding="utf-8") for page in TABLES.values()}
    tables = {
        "registry": registry(),
        "terraform": terraform(),
        "commands": commands(),
        "races": passing(),
        **{f"costs: {name}": markdown(*table()) for name, table in cost_tables.TABLES.items()},
    }
    for name, page in TABLES.items():
        marked = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not marked.search(pages[page]):
            console.error(f"{page.name} has no place for the table {name!r}")
            return 1
        pages[page] = marked.sub(rf"\1\n{tables[name].replace(chr(92), chr(92) * 2)}\n\n\2", pages[page])
    pages[REGISTRY_PAGE] = registry_page(REGISTRY_PAGE.read_text(encoding="utf-8"))
    stale = [page for page, text in pages.items() if text != page.read_text(encoding="utf-8")]
    for page in stale:
        if check:
            console.error(f"{page} is stale: run `make docs`")
        else:
            page.write_text(pages[page], encoding="utf-8")
    return int(check and bool(stale))


def registry_page(page: str) -> str:
    """The page of the module `registry` with the text of its example, and every expression's value in a comment."""
    example = f"```yaml\n{ONE_MODEL.read_text(encoding='utf-8')}```"
    page = re.sub(r"```yaml\n.*?```", lambda _: example, page, flags=re.DOTALL)
    hcl = re.compile(r"(?<=```hcl\n)[^`]+(?=```)")
    expressions = [line for block in hcl.findall(page) for line in block.splitlines() if not line.startswith("#")]
    values = ask(ONE_MODEL, f"[{', '.join(expressions)}]")
    # Nodes name their file by its full path, which differs between checkouts.
    comments = {
        line: f"# {json.dumps(value, ensure_ascii=False)}".replace(f"{ONE_MODEL.parent}/", "")
        for line, value in zip(expressions, values, strict=True)
    }

    def answered(block: re.Match[str]) -> str:
        return "".join(f"{line}\n{comments[line]}\n" for line in block[0].splitlines() if line in comments)

    return hcl.sub(answered, page)


def registry() -> str:
    """The fields of a model, with nested ones under their path."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))

    def rule(described: Mapping[str, Any]) -> Mapping[str, Any]:
        named: Mapping[str, Any] = schema["$defs"]
        return named[described["$ref"].split("/")[-1]] if "$ref" in described else described

    def fields(of: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str, str, str]]:
        for name, described in of["properties"].items():
            field = rule(described)
            if "properties" in field:
                yield from fields(field, f"{path}{name}.")
                continue
            item = rule(field.get("items", {}))
            given = runtime_defaults(name) if field.get("x-runtime-default") else default(field)
            given = "required" if name in of.get("required", ()) else given
            yield f"`{path}{name}`", kind({**field, "items": item}), given, field["description"]
            if "properties" in item:
                yield from fields(item, f"{path}{name}[].")

    return markdown(("field", "type", "default", "what it says"), list(fields(schema["$defs"]["model"])))


def kind(field: Mapping[str, Any]) -> str:
    """The type of a field with its range, in words."""
    types: list[str] = [
        name
        for name in ([field["type"]] if isinstance(field.get("type"), str) else field.get("type", []))
        if name != "null"
    ]
    if "enum" in field:
        return " or ".join(f"`{in_yaml(value)}`" for value in field["enum"] if value is not None)
    if types == ["array"]:
        return f"list of {kind(field['items'])}" if field["items"] else "list"
    low, high = field.get("minimum"), field.get("maximum")
    bounds = "" if low is None else f", {low} or more" if high is None else f", {low} to {high}"
    return {"object": "map"}.get(types[0], types[0]) + bounds


def default(field: Mapping[str, Any]) -> str:
    """The default of a field."""
    if field.get("default") is None or field.get("default") == "":
        return ""
    return f"`{in_yaml(field['default'])}`"


def in_yaml(value: Any) -> str:
    """A value in YAML."""
    return json.dumps(value).strip('"')


def runtime_defaults(field: str) -> str:
    """The usual default of a field that depends on the runtime, and the runtimes with another default."""
    values = {name: getattr(runtime, field) for name, runtime in runtimes.TABLE.items()}
    usual = statistics.mode(values.values())
    return "".join((f"`{usual}`", *(f"; {name} `{value}`" for name, value in values.items() if value != usual)))


def terraform() -> str:
    """The inputs and outputs of the root module."""
    variables = hcl_blocks("variables.tf", "variable")
    outputs = hcl_blocks("outputs.tf", "output")
    return "\n\n".join(
        (
            markdown(
                ("input", "default", "what it says"),
                [
                    (
                        f"`{name}`",
                        f"`{json.dumps(block['default']).replace(ESCAPED, '')}`" if "default" in block else "required",
                        text(block),
                    )
                    for name, block in variables
                ],
            ),
            markdown(("output", "what it says"), [(f"`{name}`", text(block)) for name, block in outputs]),
        )
    )


def hcl_blocks(file: str, of: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The blocks of one kind in a file of the root module, in their order."""
    with (paths.TERRAFORM / file).open(encoding="utf-8") as source:
        parsed = hcl2.load(source)
    return [(name.strip('"'), block) for entry in parsed[of] for name, block in entry.items()]


def text(block: Mapping[str, Any]) -> str:
    """The description of a block."""
    return str(block["description"]).strip('"')


def commands() -> str:
    """Every command with its arguments, as its help shows them."""
    parser = cli.parser()
    (choices,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    helps = {action.dest: action.help for action in choices._choices_actions}
    rows = []
    for name, command in choices.choices.items():
        usage = (
            " ".join(command.format_usage().split())
            .removeprefix("usage: ")
            .replace("[-h] [--json]", "")
            .replace("  ", " ")
            .strip()
        )
        rows.append((f"`{usage}`", str(helps[name])))
    return markdown(("command", "does"), rows)


def passing() -> str:
    """The errors of an apply that resolve themselves."""
    kept = " Before you apply again, run `terraform untaint` with the address that the error names."
    rows = [
        (
            ", or ".join(f"`{said}`" for said in race.says),
            race.means + (kept if race.keeps else ""),
            f"[{race.within_s} s]({race.source})",
        )
        for race in races.RACES
    ]
    return markdown(("the error contains", "it means", "it passes within"), rows)


def markdown(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '/').replace('<', '&lt;') for cell in line)} |" for line in lines
    )


if __name__ == "__main__":
    sys.exit(main())
