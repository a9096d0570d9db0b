"""A judgement as JUnit XML, which every CI shows: a failure fails, what is inconclusive is skipped with its reason."""

from __future__ import annotations

from xml.etree import ElementTree as Tree

from triagedesk.evals.gate import Gate, Judgement, Verdict

_CONTROLS = (*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF)
_ILLEGAL = dict.fromkeys(_CONTROLS, "\ufffd")
"""What XML 1.0 cannot hold (section 2.2); ids come from strangers."""
_ELEMENTS = {Verdict.FAIL: "failure", Verdict.INCONCLUSIVE: "skipped", Verdict.UNMEASURED: "error"}


def junit_text(judged: Judgement, name: str) -> str:
    """Return the XML of a run's gates; `name` is the config's. What could not be measured is an error."""
    tally = {element: sum(_ELEMENTS.get(gate.verdict) == element for gate in judged.gates)
             for element in ("failure", "skipped", "error")}  # fmt: skip
    counted = {"tests": str(len(judged.gates)), "failures": str(tally["failure"]), "errors": str(tally["error"]),
               "skipped": str(tally["skipped"])}  # fmt: skip
    root = Tree.Element("testsuites", counted)
    suite = Tree.SubElement(root, "testsuite", {"name": _legal(f"triagedesk eval gate {name}"), **counted})
    for gate in judged.gates:
        _add(suite, gate, name)
    Tree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Tree.tostring(root, encoding="unicode") + "\n"


def _add(suite: Tree.Element, gate: Gate, name: str) -> None:
    case = Tree.SubElement(suite, "testcase", {"classname": _legal(name), "name": _legal(gate.name)})
    element = _ELEMENTS.get(gate.verdict)
    if element is not None:
        Tree.SubElement(case, element, {"message": _legal(_said(gate))})
    else:
        Tree.SubElement(case, "system-out").text = _legal(f"{gate.verdict}: {_said(gate)}")


def _said(gate: Gate) -> str:
    """Return figure, limit and reason in one line."""
    figure = gate.figure
    parts = [gate.why]
    if figure is not None and figure.value is not None:
        interval = "" if figure.low is None or figure.high is None else f" ({figure.low:.3f} to {figure.high:.3f})"
        parts.insert(0, f"{figure.value:.3f}{interval}")
    if gate.limit:
        parts.insert(len(parts) - 1, f"limit {gate.limit}")
    return ", ".join(part for part in parts if part)


def _legal(text: str) -> str:
    return text.translate(_ILLEGAL)
