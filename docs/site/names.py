"""Pages of the public names, from their docstrings."""

import orthoforge

GROUPS = {
    "data": (
        "Data",
        (
            "check",
            "prepare",
            "TileStore",
            "Classes",
            "footprints",
            "realign",
            "simulate",
            "RealPairs",
            "SyntheticPairs",
        ),
    ),
    "training": ("Training", ("train", "Recipe", "load_recipe", "recipe_names", "Run", "experiment", "sweep", "demo")),
    "images": ("Images", ("load_generator", "TrainedGenerator", "generate", "forge", "grow", "publish", "export", "serve")),
    "scores": ("Scores and errors", ("evaluate", "ScoreNetwork", "compare", "utility", "SegmenterSettings", "OrthoforgeError")),
}
"""The page of each name. A new one comes to the page of images until it has a row."""
OTHERS = "images"


def names_by_page() -> dict[str, list[str]]:
    """All of ``orthoforge.__all__``, each once."""
    placed = {name for _, names in GROUPS.values() for name in names}
    others = [name for name in orthoforge.__all__ if name not in placed]
    return {page: [*names, *(others if page == OTHERS else [])] for page, (_, names) in GROUPS.items()}


def pages_of_names() -> dict[str, str]:
    """Path and Markdown of each page, and of the list of all names."""
    by_page = names_by_page()
    pages = {
        f"reference/python/{page}.md": f"# {GROUPS[page][0]}\n\n" + "\n".join(f"::: orthoforge.{name}\n" for name in names)
        for page, names in by_page.items()
    }
    lists = [
        f"| [{GROUPS[page][0]}](python/{page}.md) | "
        + ", ".join(f"[`{name}`](python/{page}.md#orthoforge.{name})" for name in names)
        + " |"
        for page, names in by_page.items()
    ]
    pages["reference/index.md"] = HEAD + "\n".join(lists) + "\n"
    return pages


HEAD = """# Reference

- [Commands](commands.md): every command with its options.
- [Recipes](../recipes.md): every recipe and what can be chosen.
- [Formats](../formats.md): what goes in and what comes out.
- [Scores](../evaluation.md): what each score says.
- [Messages](messages.md): what each error says.

Names that code outside may rely on are those of `orthoforge` itself. Everything below it may move.

| page | names |
|---|---|
"""
