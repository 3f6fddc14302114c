"""Numbers that come from no record, in any document: references, names, code, formulas, and the settings of the runs.

What a setting is stands here, too, as an expression over the study; a test holds the two together.
"""

from __future__ import annotations

import re

from prose.said import Excuse


def _excuse(pattern: str, reason: str, flags: int = 0) -> Excuse:
    return Excuse(re.compile(pattern.replace(" ", r"\s+"), flags), reason)


COMMON = [
    _excuse(r"```.*?```", "code", re.DOTALL),
    _excuse(r"^    .*$", "code", re.MULTILINE),
    _excuse(r"`[^`]*`", "code"),
    _excuse(r"<!-- map: .*?<!-- /map -->", "made from the map of the notebooks, which a test sees to", re.DOTALL),
    _excuse(r"\$\$.*?\$\$", "a formula", re.DOTALL),
    Excuse(re.compile(r"(?<!\$)\$(?!\$)[^$]+\$(?!\$)"), "a formula, but for a number alone or a result such as p < 0.1",
           unless=re.compile(r"\$(?:[^$]*(?:<|>|=|\\le|\\ge|\\approx))?\s*-?[\d.]+\$")),
    _excuse(r"(?:[Aa]t \$p|\$p_0) = [\d.]+\$(?:(?:,| and) \$[\d.]+\$)*", "a prune rate to try"),
    _excuse(r"\]\([^)\s]*\)", "the address of a link"),
    _excuse(r"\[(?:Notebook |notebook )?\d\db?(?: ·[^]]*)?\]", "a link to a notebook"),
    _excuse(r"\A# \d\db? · ", "a notebook's number"),
    _excuse(r"[Nn]otebooks? \d\db?\b", "a notebook's number"),
    _excuse(r"(?:Section|Figure|Fig\.|Table|Eq\.|Equation) B?\d[\d.]*", "a reference"),
    _excuse(r"(?:Sections|Figures|Figs\.|Tables|Eqs\.|Equations) B?\d[\d.]*(?:(?:,| and| to|, and) B?\d[\d.]*)*",
            "references"),
    _excuse(r"read \d+, work through \d+ minutes", "times, which test_notebooks counts"),
    _excuse(r"^(?:\*\*)?\d\.(?:\*\*)? ", "the number of an item or exercise", re.MULTILINE),
    _excuse(r"[Ee]xercise \d\b", "a reference"),
    _excuse(r"CIFAR-100?\b|ResNet-5[06]\b|VGG-16\b|LeNet-300-100\b|LeNet-5\b|CD-1\b|SHA-256\b|k-shells?", "a name"),
    _excuse(r"3072-1024-512-10\b|784-300-100-10\b", "the network, see test_settings_are_those_of_the_study"),
    _excuse(r"\b[Hh]idden (?:layers? )?[123](?: and [123])?\b|[Ll]ayers? [123]\b", "the name of a layer"),
    _excuse(r"\b([13])[×x]\1\b", "the name of a kind of layer"),
    _excuse(r"seeds? \d\b", "the name of a run"),
    _excuse(r"\((?:[A-Z][\w.’' -]*,? )?(?:et al\., )?(?:ICML|ICLR|PNAS|NeurIPS)?,? ?(?:19|20)\d\d\)", "a year"),
    _excuse(r"et al\. \((?:19|20)\d\d\)", "a year"),
    _excuse(r"\*[\w. ]+\*,? \d+, (?:19|20)\d\d", "a volume and a year"),
    _excuse(r"(?:ICML|ICLR|\*ICML\*),? 20\d\d|(?:and others|et al\.|[A-Z]\w+),? 20\d\d", "a year"),
    _excuse(r"\bN = \d seeds\b(?! \()|\bover \d seeds a rule", "the seeds of a figure, see test_alt_texts"),
    _excuse(r"95 %(?: \w+)? (?:confidence )?intervals?", "a level"),
    _excuse(r"(?:95|90|80)(?: %|%| per cent)?(?:(?:,|,? and|,? or| to) (?:95|90|80)(?: %|%| per cent)?)+\b(?![.,]\d)",
            "sparsities of the paper"),
    _excuse(r"\(2, 75, 150, 225 and 300 of 300 epochs\)", "the paper's moments"),
    _excuse(r"\bp >= 0\.95|\bp > 0\.1\b|\bp ≥ 0\.95|\bp < 0\.1\b|\$p > 0\.1\$", "the usual rule and the paper's"),
    # the settings of the runs
    _excuse(r"\b(?:95|90|80) (?:%|per cent)(?: sparse| sparsity| and| to| is best)", "a sparsity of the paper"),
    _excuse(r"\b300 epochs\b|of 300\b", "the length of the paper's runs"),
    _excuse(r"\b12,000 small images\b|\b2,000 test images\b", "the images that ship with the package"),
    _excuse(r"(?:for|of|have) (?:30|6) epochs|, (?:30|6) epochs\b|\*\*6 epochs|at 30 epochs",
            "the length of short runs of ours"),
    _excuse(r"\b264 (?:topology )?updates\b", "the updates of the paper's runs"),
]
