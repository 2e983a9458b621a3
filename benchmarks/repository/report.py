"""The report: one Markdown table a data set, ratios with their spread, and what the contract asks for beside them."""

from collections.abc import Mapping
from itertools import chain

from benchmarks.repository.measure import Cost, ratios
from benchmarks.repository.rounds import Results

GATES: Mapping[tuple[str, str], float] = {
    ("large", "initial"): 0.55,
    ("small", "initial"): 0.55,
    ("large", "unchanged"): 0.3,
    ("small", "unchanged"): 0.3,
    ("large", "changed"): 0.5,
    ("small", "changed"): 0.5,
    ("postgres", "changed"): 0.5,
    ("large", "restore"): 0.8,
    ("small", "restore"): 0.35,
    ("small over S3", "initial"): 0.3,
    ("small over S3", "restore"): 0.3,
}
"""Wall and CPU against stock restic, from the end of the repository's contract; for memory it is 1.5 everywhere."""

RSS_GATE = 1.5


def _text(cost: Cost) -> str:
    return f"{cost.wall:.2f} / {cost.cpu:.2f} / {cost.rss:.0f}"


def _best(costs: list[Cost]) -> Cost:
    return Cost(min(c.wall for c in costs), min(c.cpu for c in costs), max(c.rss for c in costs))


def render(results: Results) -> str:
    """Markdown for one data set."""
    lines = [f"### {results.title}", ""]
    lines += ["| operation | program | its wall s / CPU s / RSS MiB | ours | ratio wall | ratio CPU | ratio RSS | asked |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- | --- |"]
    name = results.title.partition(":")[0]
    for operation, held in results.costs.items():
        ours = held.get("holdfast", [])
        for program, theirs in held.items():
            if program == "holdfast":
                continue
            ratio = ratios(ours[-len(theirs) :], theirs)
            gate = GATES.get((name, operation)) if program.startswith("restic") else None
            asked = f"<= {gate}, RSS <= {RSS_GATE}" if gate else "-"
            lines.append(
                f"| {operation} | {program} | {_text(_best(theirs))} | {_text(_best(ours))} "
                f"| {ratio['wall']} | {ratio['cpu']} | {ratio['rss']} | {asked} |"
            )
    sizes = ", ".join(f"{name} {size:.0f} MiB" for name, size in sorted(results.sizes.items()))
    notes = [f"Repositories: {sizes}." if sizes else "", *(f"{note[0].upper()}{note[1:]}." for note in results.notes)]
    return "\n".join(chain(lines, [""], [" ".join(note for note in notes if note)], [""]))
