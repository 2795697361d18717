"""Rules as they would be with other files: for trials, never published."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gateway.policy.parse import PolicySet, compile_rules


def candidate_rules(
    in_force: PolicySet, texts: Mapping[str, str], files: Mapping[str, str], orgs: Collection[str]
) -> PolicySet:
    """What is in force, with these files in the place of those of the same orgs.

    `texts`: the files in force by name. `orgs`: those that the new files speak for. What was made
    by API stays.
    Raises: DocumentError with everything that is wrong with it.
    """
    kept = {
        file.marked.file: texts[file.marked.file]
        for org, file in in_force.files.items()
        if org not in orgs and file.marked.file in texts
    }
    # A file in force of another org may have a new one's name.
    renamed = {name if name not in files else f"{name} in force": t for name, t in kept.items()}
    return compile_rules({**renamed, **files}, in_force.managed)
